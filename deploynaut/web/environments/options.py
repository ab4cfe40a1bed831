"""The options of a recipe as they are typed: one JSON object, nothing in it that two readers could read differently."""

from __future__ import annotations

import json
import math
import re
from typing import Any

EXAMPLE = '{"docroot": "public"}'
DEEPEST = 20


class BadOptions(ValueError):
    """The text is no such object; the words say what is wrong, with its line where there is one."""


def read_options(text: str) -> dict[str, Any]:
    """The object in `text`; empty for nothing. Raises BadOptions."""
    try:
        found = json.loads(
            text or "{}", object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite, parse_int=_short
        )
    except json.JSONDecodeError as error:
        raise BadOptions(f"{error.lineno}:{error.colno}: this is not JSON: {error.msg}. {_SUCH}") from None
    except _Found as error:
        raise BadOptions(f"{_line(text, error.token)}{error}") from None
    except RecursionError:
        raise BadOptions(_DEEP) from None
    if not isinstance(found, dict):
        raise BadOptions(_SUCH)
    if _depth(found) > DEEPEST:
        raise BadOptions(_DEEP)
    return found


_SUCH = f"Write the options as a JSON object, such as {EXAMPLE}."
_DEEP = f"The options are nested deeper than {DEEPEST} levels."


class _Found(Exception):
    """Something that JSON would let pass, and `token` as it is written."""

    def __init__(self, words: str, token: str) -> None:
        super().__init__(words)
        self.token = token


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise _Found(f"the key {key[:60]!r} is there twice.", json.dumps(key, ensure_ascii=False))
        made[key] = value
    return made


def _no_constant(word: str) -> None:
    raise _Found(f"{word} is no number.", word)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise _Found(f"the number {text[:30]} is too large.", text)
    return number


def _short(text: str) -> int:
    if len(text) > 18:
        raise _Found("a number has too many digits.", text)
    return int(text)


def _line(text: str, token: str) -> str:
    """`line:column: ` of the last place where the token stands: of two equal keys the second."""
    places = [found.start() for found in re.finditer(re.escape(token), text)]
    if not places:
        return ""
    return f"{text.count(chr(10), 0, places[-1]) + 1}:{places[-1] - text.rfind(chr(10), 0, places[-1])}: "


def _depth(value: Any) -> int:
    """How deep lists and keys are nested; no recursion, for the text may be anybody's."""
    deepest, level = 0, [value]
    while level := [item for one in level for item in _inside(one)]:
        deepest += 1
    return deepest


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
