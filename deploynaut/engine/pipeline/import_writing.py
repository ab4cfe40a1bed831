"""A pipeline file written out as a person would: one step a line, texts in blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from deploynaut.engine.pipeline.import_steps import Steps
from deploynaut.engine.pipeline.import_texts import Texts
from deploynaut.engine.pipeline.parts import PRODUCTION

_BARE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def write(*, description: str, promote_from: str, steps: Steps, texts: Texts) -> str:
    """The file."""
    lines = [f"description: {_value(description)}"] if description else []
    lines += [f"promote_from: {_value(promote_from)}"] if promote_from else []
    named = [kind for kind in PRODUCTION if kind in steps.settings]
    lines += ["steps:", *(_step(kind, steps.settings[kind]) for kind in named)] if named else []
    lines += (
        ["smoke_tests:", *(f"  {name}: {_flow(test)}" for name, test in steps.tests.items())] if steps.tests else []
    )
    lines += ["notify:", *(f"  {event}: {_value(to)}" for event, to in texts.notify.items())] if texts.notify else []
    lines += ["messages:", *_messages(texts.words)] if texts.words else []
    lines += ["on_failure: {database: keep}"] if steps.keep_database else []
    return "\n".join(lines) + "\n" if lines else ""


def _step(kind: str, settings: Mapping[str, Any]) -> str:
    return f"  - {kind}: {_flow(settings)}" if settings else f"  - {kind}"


def _messages(words: Mapping[Any, Mapping[str, str]]) -> Iterator[str]:
    for event, parts in words.items():
        yield f"  {event}:"
        for key in ("subject", "body"):
            if parts.get(key):
                yield from _text(key, parts[key])


def _text(key: str, text: str) -> Iterator[str]:
    block = "\n" in text and not any(line[:1] in (" ", "\t") for line in text.splitlines())
    if not block:
        yield f"    {key}: {json.dumps(text, ensure_ascii=False)}"
        return
    yield f"    {key}: |"
    yield from (f"      {line.rstrip()}".rstrip() for line in text.split("\n"))


def _flow(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_value(value)}" for key, value in values.items()) + "}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, bool | int):
        return json.dumps(value)
    plain = value and set(value) <= _BARE and not value[0].isdigit() and value[0] != "-"
    time = value[:-1].isdigit() and value[-1:] in ("s", "m", "h", "d")
    return (
        value if (plain or time) and value not in ("true", "false", "null") else json.dumps(value, ensure_ascii=False)
    )
