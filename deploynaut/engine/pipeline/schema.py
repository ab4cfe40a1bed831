"""The JSON Schema of a pipeline file, for editors: made of the models, so that it cannot say anything else.

It tells keys, types and bounds. What hangs together (order, people, hosts) is checked when a file is saved.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from deploynaut.engine.pipeline.parts import KINDS, File, OnFailure, Part, TestSpec, Text
from deploynaut.engine.pipeline.values import written

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The dialect that the YAML server of editors knows best."""


def schema() -> dict[str, Any]:
    """The whole schema, as JSON holds it."""
    found = _of(File)
    keys = found["properties"]
    keys["steps"]["items"] = {"anyOf": [_named_alone(), *(_with_settings(kind, part) for kind, part in KINDS.items())]}
    (pattern,) = keys["smoke_tests"].pop("patternProperties")
    keys["smoke_tests"] |= {"propertyNames": {"pattern": pattern}, "additionalProperties": _of(TestSpec)}
    keys["messages"]["additionalProperties"] = _of(Text)
    keys["on_failure"] = {**_of(OnFailure), "description": keys["on_failure"]["description"]}
    return {"$schema": DIALECT, **found, "title": "Deploynaut pipeline"}


def _named_alone() -> dict[str, Any]:
    return {"type": "string", "enum": list(KINDS)}


def _with_settings(kind: str, part: type[Part]) -> dict[str, Any]:
    # `- backup:` with nothing after it is a step without settings.
    settings = {"anyOf": [_of(part), {"type": "null"}]}
    return {"type": "object", "properties": {kind: settings}, "required": [kind], "additionalProperties": False}


def _of(part: type[Part]) -> dict[str, Any]:
    """The schema of one part; its references to others put in place, its defaults as the file writes them."""
    found = part.model_json_schema()
    definitions = found.pop("$defs", {})
    properties = {name: _inlined(value, definitions) for name, value in found["properties"].items()}
    for name, value in properties.items():
        value.pop("title", None)
        default = part.model_fields[name].default
        if isinstance(default, timedelta):
            value["default"] = written(default)
        elif isinstance(default, Part) or name in ("description", "promote_from"):
            value.pop("default", None)
    return {**found, "properties": properties}


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_inlined(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        rest = {key: item for key, item in value.items() if key != "$ref"}
        target = definitions[value["$ref"].removeprefix("#/$defs/")]
        return {**_inlined(target, definitions), **rest}
    return {key: _inlined(item, definitions) for key, item in value.items()}
