"""The JSON Schema for editors takes what the program takes, and marks what the program refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from deploynaut.engine.pipeline import SpecError, parse
from deploynaut.engine.pipeline.parts import KINDS, File, TestSpec
from deploynaut.engine.pipeline.schema import schema
from tests.house.tree import ROOT

EXAMPLES = [
    (page.name, example)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for example in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
]


def complaints(text: str) -> list[str]:
    values: Any = YAML(typ="safe", pure=True).load(text) or {}
    return [error.message for error in Draft7Validator(schema()).iter_errors(values)]


def test_it_is_a_schema_and_json() -> None:
    Draft7Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()


def test_there_are_examples_in_the_documents() -> None:
    assert len([name for name, _ in EXAMPLES if name == "pipeline.md"]) >= 3


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_the_examples_of_the_documents_are_good(name: str, text: str) -> None:
    assert complaints(text) == []
    parse(text, production="promote_from" in text, name=name)


@pytest.mark.parametrize("text", ["", "steps: [backup]", "steps: [{backup: }]", "steps: []", "smoke_tests: {}"])
def test_what_is_left_out_is_no_mistake(text: str) -> None:
    assert complaints(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "stepz: []",
        "steps: [dance]",
        "steps: [{backup: false}]",
        "steps: [{backup: {asets: true}}]",
        "steps: [{backup: {}, release: {}}]",
        "steps: [{backup: {timeout: 3}}]",
        "steps: [{smoke_tests: {attempts: 21}}]",
        "steps: [{approval: {ask: [deployment-managers]}}]",
        "smoke_tests: {a: {}}",
        "smoke_tests: {A: {url: 'http://x'}}",
        "smoke_tests: {a: {url: 'ftp://x'}}",
        "smoke_tests: {a: {url: 'http://x', status: 99}}",
        "notify: {finished: [a@b.example]}",
        "notify: {failed: a@b.example}",
        "messages: {asked: {subject: x}}",
        "messages: {failed: {subjekt: x}}",
        "on_failure: {database: drop}",
        "keep_releases: 1",
        "keep_releases: '5'",
    ],
)
def test_what_the_program_refuses_an_editor_marks(text: str) -> None:
    assert complaints(text)
    with pytest.raises(SpecError):
        parse(text, production=True)


def test_every_key_is_there_with_words_and_its_default() -> None:
    found = schema()["properties"]
    assert set(found) == set(File.model_fields)
    assert all(key["description"] for key in found.values())
    tests = found["smoke_tests"]["additionalProperties"]["properties"]
    assert set(tests) == set(TestSpec.model_fields)
    assert tests["within"]["default"] == "20s"
    steps = {kind for one in found["steps"]["items"]["anyOf"] for kind in one.get("properties", {})}
    assert steps == set(KINDS)
