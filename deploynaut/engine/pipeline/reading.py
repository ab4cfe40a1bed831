"""Reading a pipeline file: YAML into plain values, with the place of everything in the file. Bounded, no tricks."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import MappingEndEvent, MappingStartEvent, SequenceEndEvent, SequenceStartEvent

MAXIMUM_BYTES = 200_000
MAXIMUM_DEPTH = 20
MAXIMUM_PARTS = 5_000


class SpecError(ValueError):
    """A pipeline file that cannot be used; `problems` are lines `file:line:column: what is wrong`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(text: str, name: str) -> Any:
    """The file's keys with ruamel's line numbers. Raises SpecError; `name` is what its lines begin with."""
    try:
        if len(text.encode(errors="replace")) > MAXIMUM_BYTES:
            raise SpecError([f"{name}:1:1: the file is larger than {MAXIMUM_BYTES // 1000} kB"])
        # A look at the events first: they are cheap, whatever the file would grow into.
        _refuse_tricks(text, name)
        data = YAML(typ="rt", pure=True).load(text)
    except SpecError:
        raise
    except (YAMLError, RecursionError, ValueError) as error:
        raise SpecError([_not_yaml(error, name)]) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SpecError([f"{name}:1:1: should be a list of keys such as `steps:`"])
    return data


def _not_yaml(error: Exception, name: str) -> str:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = getattr(error, "problem", None) or error
    return f"{name}:{line}:{column}: this is not YAML: {str(problem).splitlines()[0][:200]}"


def _refuse_tricks(text: str, name: str) -> None:
    """Anchors make one small file into a huge value, tags and deep nesting do harm too, and no pipeline needs them."""
    depth = 0
    for number, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
        depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
        depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)
        if problem := _trick(event, depth=depth, number=number):
            mark = event.start_mark
            raise SpecError([f"{name}:{mark.line + 1}:{mark.column + 1}: {problem}"])


def _trick(event: Any, *, depth: int, number: int) -> str:
    if getattr(event, "anchor", None):
        return "anchors and aliases are not used here"
    if getattr(event, "tag", None):
        return "tags such as `!!python/object` are not used here"
    if depth > MAXIMUM_DEPTH:
        return f"lists and keys are nested deeper than {MAXIMUM_DEPTH} levels"
    return f"more than {MAXIMUM_PARTS} keys and values" if number > MAXIMUM_PARTS else ""


def plain(value: Any) -> Any:
    """ruamel's containers as plain ones, so that pydantic and comparison see no surprises."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(plain(item) for item in value)
    return value


def place(data: Any, location: tuple[Any, ...], name: str) -> str:
    """`file:line:column: path` of a pydantic location, as deep as the file goes."""
    line, column, here = 0, 0, data
    for part in location:
        try:
            found = here.lc.data.get(part)
            line, column = found[0], found[1]
            here = here[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return f"{name}:{line + 1}:{column + 1}: {'.'.join(str(part) for part in location)}"


def words(error: Any) -> str:
    """What pydantic found wrong, for people."""
    if error["type"] == "extra_forbidden":
        return "unknown key"
    return str(error["msg"]).removeprefix("Value error, ")
