"""The pipeline file: what it may say, what it means, and what is refused with its place."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploynaut.engine.pipeline import SpecError, parse
from deploynaut.engine.pipeline.spec import duration

WHOLE = """\
description: Production of acme.
promote_from: uat
steps:
  - approval: {ask: [[deployment-managers], [im@acme.example]], escalate_after: 2h, expires_after: 7d}
  - confirm: {expires_after: 1d}
  - prepare: {timeout: 30m}
  - backup: {assets: false}
  - release: {timeout: 1h}
  - smoke_tests: {attempts: 3, delay: 10s}
  - rollback_window: {lasts: 1h}
smoke_tests:
  home: {url: "https://www.acme.example/", status: 200, contains: "Welcome", within: 5s}
  login: {url: "https://www.acme.example/admin/", status: 302, redirect: "/Security/login"}
keep_releases: 5
notify:
  rollback_failed: [ops@acme.example, "+64 21 555 000"]
"""
PRODUCTION = ("approval", "confirm", "prepare", "backup", "release", "smoke_tests", "rollback_window")
TEST = ("prepare", "backup", "release", "smoke_tests")


def test_the_file_of_the_decisions_is_read_whole() -> None:
    spec = parse(WHOLE, production=True)
    assert spec.kinds == PRODUCTION
    assert spec.promote_from == "uat"
    assert spec.settings("approval").ask == (("deployment-managers",), ("im@acme.example",))
    assert spec.settings("prepare").timeout == timedelta(minutes=30)
    assert spec.smoke_tests["login"].redirect == "/Security/login"
    assert spec.notify["rollback_failed"] == ("ops@acme.example", "+64 21 555 000")


@pytest.mark.parametrize("text", ["", "{}", "# nothing but a comment\n", "steps: []", "steps: [backup]"])
def test_what_a_file_leaves_out_is_there_with_its_defaults(text: str) -> None:
    assert parse(text, production=True).kinds == PRODUCTION
    assert parse(text, production=False).kinds == TEST
    assert parse(text, production=True).settings("rollback_window").lasts == timedelta(hours=1)


def test_production_promotes_from_uat_unless_the_file_names_another() -> None:
    assert parse("", production=True).promote_from == "uat"
    assert parse("promote_from: staging", production=True).promote_from == "staging"
    assert parse("", production=False).promote_from == ""


def test_the_way_back_has_settings_though_no_file_names_it() -> None:
    assert parse("", production=False).settings("release").timeout == timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "span"),
    [("90s", timedelta(seconds=90)), ("10m", timedelta(minutes=10)), ("2h", timedelta(hours=2)), ("7d", timedelta(7))],
)
def test_a_time_has_a_unit(text: str, span: timedelta) -> None:
    assert duration(text) == span


@pytest.mark.parametrize("text", ["90", 90, "", "0s", "-1s", "1.5h", "10 m", "1h30m", "1w", "9999999s", "٣s\n", None])
def test_anything_else_is_no_time(text: object) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        duration(text)


REFUSED_ANYWHERE = [
    ("stepz: []", "1:1: stepz: unknown key"),
    ("keep_releases: 1", "keep_releases: Input should be greater"),
    ("a: 1\na: 2", "2:1"),
    ("steps:\n  - backup: {asets: true}", "2:14: steps.1.backup.asets: unknown key".replace("1.backup", "0.backup")),
    ("steps:\n  - backup: {timeout: 3}", "is not a time"),
    ("steps: [dance]", "there is no step 'dance'"),
    ("steps: [backup, backup]", "backup is there twice"),
    ("steps: [smoke_tests, backup]", "fixed order"),
    ("steps: [{backup: false}]", "cannot be switched off"),
    ("steps: [{backup: off}]", "cannot be switched off"),
    ("steps: [{backup: 0}]", "cannot be switched off"),
    ("steps: [{backup: {}, release: {}}]", "a step is one name"),
    ("steps: [{}]", "a step is one name"),
    ("smoke_tests: {a: {url: 'file:///etc/passwd'}}", "is not a web address"),
    ("smoke_tests: {a: {url: 'http://x y'}}", "is not a web address"),
    ("smoke_tests: {a: {}}", "Field required"),
    ("smoke_tests: {a: {url: 'http://x', status: 99}}", "greater than or equal to 100"),
    ("[1, 2]", "should be a list of keys"),
    ("just words", "should be a list of keys"),
]
HOSTILE = [
    "a: &x [1]\nb: *x",
    'a: "x # y"\nb: &x [1]',
    "steps: !!python/object/apply:os.system ['touch x']",
    "a: !custom 1",
    "[" * 10_000,
    "- " * 5_000,
    "? " * 5_000,
    "a: [" + "1," * 50_000 + "]",
    "".join(f"k{number}: 1\n" for number in range(20_000)),
    "keep_releases: .nan",
    "keep_releases: 1e400",
    "keep_releases: " + "9" * 5_000,
    "a: " + "x" * 200_000,
    "---\na: 1\n---\nb: 2",
    "\0",
    "\ud800",
    "\x1b[31m: 1",
    "{{{",
    "\t- a",
    "a: 'unfinished",
    "%YAML 9.9\n---\na: 1",
    "? [a]\n: 1",
    "steps: [null]",
    "steps: {backup: {}}",
    "on_failure: keep",
]


@pytest.mark.parametrize(("text", "words"), REFUSED_ANYWHERE)
@pytest.mark.parametrize("production", [True, False])
def test_a_wrong_file_is_refused_with_its_place(text: str, words: str, production: bool) -> None:
    with pytest.raises(SpecError) as refused:
        parse(text, production=production, name="acme.yml")
    assert words in str(refused.value)
    assert all(problem.startswith("acme.yml:") for problem in refused.value.problems)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps: [release, approval]", "fixed order"),
        ("steps:\n  - approval: {ask: []}", "names nobody"),
        ("steps:\n  - approval: {ask: [[deployment-managers], []]}", "names nobody"),
        ("steps:\n  - approval: {ask: [['']]}", "names nobody"),
        ("on_failure: {database: keep}", "on production the database goes back"),
    ],
)
def test_production_keeps_what_protects_it(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse(text, production=True)


@pytest.mark.parametrize("text", ["steps: [approval]", "steps: [rollback_window]", "promote_from: uat"])
def test_steps_of_production_have_no_place_elsewhere(text: str) -> None:
    with pytest.raises(SpecError, match="production"):
        parse(text, production=False)


def test_test_and_uat_may_keep_the_database() -> None:
    assert parse("on_failure: {database: keep}", production=False).on_failure.database == "keep"


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SpecError) as refused:
        parse("foo: 1\nbar: 2\nkeep_releases: 0\n", production=False)
    assert [problem.split(":")[1] for problem in refused.value.problems] == ["3", "1", "2"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_file_is_refused_within_a_second(text: str) -> None:
    began = time.process_time()
    with pytest.raises(SpecError):
        parse(text, production=False)
    assert time.process_time() - began < 1


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:- []{}&*!#'\"\n\t,?|>%@`0", max_size=60), st.booleans())
def test_no_text_does_more_than_be_refused(text: str, production: bool) -> None:
    try:
        spec = parse(text, production=production)
    except SpecError as refused:
        assert refused.problems
    else:
        assert spec.kinds == (PRODUCTION if production else TEST)
