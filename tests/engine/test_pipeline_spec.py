"""The pipeline file: what it may say, what it means, and what is refused with its place."""

from __future__ import annotations

import inspect
import json
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploynaut.engine.pipeline import SpecError, Status, decide, parse
from deploynaut.engine.pipeline.canonical import canonical
from deploynaut.engine.pipeline.parts import Told
from deploynaut.engine.pipeline.spec import File, duration, written

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
    assert spec.named == set(PRODUCTION)
    assert spec.notify["rollback_failed"] == ("ops@acme.example", "+6421555000")


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


@pytest.mark.parametrize("text", ["90", 90, "", "0s", "-1s", "1.5h", "10 m", "1h30m", "1w", "٣s\n", None])
def test_anything_else_is_no_time(text: object) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        duration(text)


@pytest.mark.parametrize("text", ["31d", "721h", "43201m", "9999999s", "2592001s"])
def test_no_time_is_longer_than_30_days(text: str) -> None:
    assert duration("30d") == duration("720h") == timedelta(days=30)
    with pytest.raises(ValueError, match="30d is the most"):
        duration(text)


@pytest.mark.parametrize("text", ["1s", "90s", "1m", "61m", "1h", "25h", "36h", "1d", "2d", "7d", "30d"])
def test_a_time_is_written_as_it_was_read(text: str) -> None:
    assert written(duration(text)) == text


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
    ("smoke_tests: {a: {}}", "is missing"),
    ("smoke_tests: {a: {url: 'http://x', status: 99}}", "greater than or equal to 100"),
    ("steps:\n  - backup: {timeout: 0s}", "2:14: steps.0.backup.timeout: '0s' is not a time"),
    ("steps:\n  - backup: {timeout: 31d}", "2:14: steps.0.backup.timeout: 31d is too long"),
    ("steps:\n  - smoke_tests: {delay: 10}", "2:19: steps.0.smoke_tests.delay: '10' is not a time"),
    ("steps:\n  - smoke_tests: {attempts: 1.5}", "should be a whole number"),
    ("steps:\n  - smoke_tests: {attempts: true}", "should be a whole number"),
    ("steps:\n  - smoke_tests: {attempts: '3'}", "should be a whole number"),
    ("steps:\n  - backup: {assets: 1}", "should be true or false"),
    ("steps:\n  - backup: {assets: yes}", "should be true or false"),
    ("steps: 3", "1:1: steps: should be a list"),
    ("steps: [3]", "1:9: steps.0: a step is one name"),
    ("description: 3", "1:1: description: should be text"),
    ("a: {b: 1,\n  b: 2}", "2:3: a.b: this key is there twice; the first is in line 1"),
    ("keep_relaeses: 4", "unknown key; is keep_releases meant?"),
    ("smoke_tests: {A: {url: 'http://x'}}", "1:15: smoke_tests.A: a name has small letters"),
    ("smoke_tests: {'': {url: 'http://x'}}", "a name has small letters"),
    ("smoke_tests: {a b: {url: 'http://x'}}", "a name has small letters"),
    ("smoke_tests: {_a: {url: 'http://x'}}", "a name has small letters"),
    ("smoke_tests: {" + "a" * 64 + ": {url: 'http://x'}}", "a name has small letters"),
    ("smoke_tests: {a: {url: 'http://x', redirect: '/y'}}", "with `redirect` the status is one of"),
    ("smoke_tests: {a: {url: 'http://mia:word@x/'}}", "1:19: smoke_tests.a.url: an address holds no user"),
    ("smoke_tests: {a: {url: 'http://x:99999/'}}", "is not a web address: invalid port number"),
    ("smoke_tests: {a: {url: 'http://x:0/'}}", "there is no port 0"),
    ("smoke_tests: {a: {url: 'http:///x'}}", "is not a web address"),
    ("smoke_tests: {a: {url: 'http://ex\u00e4mple.org/'}}", "is not a web address"),
    ("smoke_tests: {a: {url: 'http://x', user: mia}}", "unknown key"),
    ("smoke_tests: {a: {url: 'http://x', within: 5}}", "1:36: smoke_tests.a.within: '5' is not a time"),
    ("notify: {finished: [a@b.example]}", "1:10: notify.finished: there is no message 'finished'; known are"),
    ("notify: {failed: a@b.example}", "notify.failed: should be a list"),
    ("notify: {failed: [ops]}", "1:19: notify.failed.0: 'ops' is neither an e-mail address nor a phone number"),
    ("notify: {failed: [a@b@c]}", "is not an e-mail address"),
    ("notify: {failed: ['a b@c.example']}", "is not an e-mail address"),
    ('notify: {failed: ["a@c.example\\nBcc: x@y.example"]}', "is not an e-mail address"),
    ("notify: {failed: ['021 555 000']}", "nor a phone number"),
    ("notify: {failed: ['+021 555 000']}", "nor a phone number"),
    ("notify: {failed: ['+64 21']}", "nor a phone number"),
    ("notify: {failed: ['+1234567890123456']}", "nor a phone number"),
    ("notify: {failed: ['+64 21 555 000;ext=1']}", "nor a phone number"),
    ("notify: {failed: [+6421555000]}", 'write such as "+64 21 555 000", in quotes'),
    ("messages: {asked: {subject: x}}", "there is no message 'asked'"),
    ("messages: {failed: {}}", "1:12: messages.failed: says nothing"),
    ("messages: {failed: {subjekt: x}}", "unknown key; is subject meant?"),
    ("messages: {failed: {text: 5}}", "should be text"),
    ('messages: {failed: {subject: "a\\nb"}}', "should be one line"),
    (
        "messages: {failed: {body: 'See <pipelinelnik>'}}",
        "there is no placeholder <pipelinelnik>; known are <requester>",
    ),
    ("messages: {failed: {text: " + "x" * 481 + "}}", "at most 480"),
    ("on_failure: {database: drop}", "should be 'restore' or 'keep'"),
    ("promote_from: 'UAT 1'\nkeep_releases: 0", "is not the name of an environment"),
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
    "keep_releases: " + "1" + "0" * 400,
    "keep_releases: -.inf",
    "keep_releases: 0x10",
    "keep_releases: 1_0",
    "a: &a [" + "x," * 9 + "]\n" + "".join(f"a{n}: &a{n} [" + f"*a{n - 1}," * 9 + "]\n" for n in range(1, 9)),
    "<<: {a: 1}",
    "a: ! x",
    "!!map {a: 1}",
    "%TAG ! tag:example.org,2000:\n---\na: 1",
    "%YAML 1.1\n---\na: yes",
    "a: |\n" + " x\n" * 30_000,
    "[" * 100_000,
    "{a: " * 16_000,
    "[{" * 30_000,
    "- [" * 20_000,
    "a: " * 20_000,
    "? a\n" * 16_000,
    "!" * 60_000,
    "&" * 60_000,
    "'" * 60_001,
    '"' + "\\x41" * 15_000,
    'a: "\\e[31m"',
    'a: "\\u202e"',
    "description: a\u202eb",
    "description: \u2028",
    "description: \ud800",
    "a: 'x" + "\n" * 60_000,
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
        ("steps:\n  - release\n  - approval", "2:5: steps.0: the steps have a fixed order here: approval, release"),
        ("steps:\n  - approval\n  - backup\n  - prepare", "3:5: steps.1: the steps have a fixed order here"),
        ("steps: [approval, approval]", "1:19: steps.1: approval is there twice"),
        ("steps:\n  - approval: false", "2:5: steps.0: approval cannot be switched off"),
        ("steps:\n  - approval: {ask: []}", "2:16: steps.0.approval.ask: names nobody"),
        ("steps:\n  - approval: {ask: }", "2:16: steps.0.approval.ask: should be a list"),
        ("steps:\n  - approval: {ask: [[deployment-managers], []]}", "2:16: steps.0.approval.ask: names nobody"),
        ("steps:\n  - approval: {ask: [['']]}", "2:23: steps.0.approval.ask.0.0: names nobody"),
        ("steps:\n  - approval: {ask: [deployment-managers]}", "2:22: steps.0.approval.ask.0: should be a list"),
        (f"steps: [{{approval: {{ask: [{'[deployment-managers],' * 11}]}}}}]", "ask: has 11 entries; 10 are the most"),
        (f"steps: [{{approval: {{ask: [[{'a@b.example,' * 21}]]}}}}]", "ask.0: has 21 entries; 20 are the most"),
        (f"notify: {{failed: [{'a@b.example,' * 21}]}}", "notify.failed: has 21 entries; 20 are the most"),
        ("steps:\n  - approval: {ask: [[release-managers]]}", "ask.0.0: 'release-managers' is not known here"),
        ("steps:\n  - approval: {ask: [[viewers]]}", "'viewers' is not known here"),
        ("steps:\n  - approval: {ask: [[5]]}", "names nobody"),
        ("steps: [{rollback_window: {lasts: 0s}}]", "is not a time"),
        ("steps: [{rollback_window: {lasts: 3600}}]", "is not a time"),
        ("on_failure: {database: keep}", "1:14: on_failure.database: on production the database goes back"),
    ],
)
def test_production_keeps_what_protects_it(text: str, words: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(text, production=True)
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["steps: [approval]", "steps: [rollback_window]", "promote_from: uat"])
def test_steps_of_production_have_no_place_elsewhere(text: str) -> None:
    with pytest.raises(SpecError, match="production"):
        parse(text, production=False)


def test_test_and_uat_may_keep_the_database() -> None:
    assert parse("on_failure: {database: keep}", production=False).on_failure.database == "keep"


def test_every_message_can_be_worded_and_sent_further() -> None:
    sources = Path(inspect.getfile(decide)).parent.glob("*.py")
    sent = {name for source in sources for name in re.findall(r"Notice\(\"([^\"]+)\"", source.read_text("utf-8"))}
    ended = {str(status) for status in Status if status.ended}
    assert {name.replace(" ", "_") for name in sent | ended} <= set(Told)


def test_words_of_ones_own() -> None:
    text = "messages:\n  failed:\n    subject: ' <project> failed '\n"
    text += "    body: |\n      Look: <pipelinelink>\n      a < b\n"
    found = parse(text, production=False).messages["failed"]
    assert (found.subject, found.body, found.text) == ("<project> failed", "Look: <pipelinelink>\na < b\n", "")


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SpecError) as refused:
        parse("foo: 1\nbar: 2\nkeep_releases: 0\n", production=False)
    assert [problem.split(":")[1] for problem in refused.value.problems] == ["1", "2", "3"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("production", [True, False])
def test_a_hostile_file_is_refused_within_a_second(text: str, production: bool) -> None:
    began = time.process_time()
    with pytest.raises(SpecError) as refused:
        parse(text, production=production, name="acme.yml")
    assert time.process_time() - began < 1
    assert_told(refused.value)


def assert_told(refused: SpecError) -> None:
    """Every problem has its place and is words on one line."""
    assert refused.problems
    for problem in refused.problems:
        assert re.match(r"acme\.yml:[1-9][0-9]*:[1-9][0-9]*: .", problem), problem
        assert len(problem) < 1_000
        assert problem.isprintable(), problem


BRICKS = (
    "steps", "smoke_tests", "approval", "backup", "ask", "timeout", "url", "notify", "messages", "failed", "subject",
    "on_failure", "keep_releases", "http://x.example/", "0s", "1h", "31d", "null", "true", ".nan", "1e400",
    "[", "]", "{", "}", ": ", ", ", "- ", "\n", "\n  ", "\n    ", "&a ", "*a", "!!x ", "? ", "|\n", "'", '"', "#",
    "---\n", "%", "\t", "\\",
)  # fmt: skip


@settings(max_examples=300, deadline=1000)
@given(
    st.one_of(
        st.text(max_size=200),
        st.text(alphabet="ab:- []{}&*!#'\"\n\t,?|>%@`0", max_size=60),
        st.lists(st.sampled_from(BRICKS), max_size=40).map("".join),
    ),
    st.booleans(),
)
def test_any_text_is_a_pipeline_or_is_refused_with_its_places(text: str, production: bool) -> None:
    people = {"deployment-managers": frozenset({1, 2})}
    try:
        spec = parse(
            text,
            production=production,
            name="acme.yml",
            may_approve=people.__contains__,
            approvers=lambda entry: people.get(entry, frozenset()),
            hosts=frozenset({"x.example"}),
        )
    except SpecError as refused:
        assert_told(refused)
    else:
        assert spec.kinds == (PRODUCTION if production else TEST)
        json.dumps(canonical(spec))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(BRICKS),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | st.sampled_from(BRICKS), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=1000)
@given(st.dictionaries(st.sampled_from(list(File.model_fields)), _JSON, max_size=4), st.booleans())
def test_any_values_are_a_pipeline_or_are_refused_with_their_places(
    values: dict[str, object], production: bool
) -> None:
    try:
        parse(json.dumps(values), production=production, name="acme.yml")
    except SpecError as refused:
        assert_told(refused)
