"""Smoke tests: what counts as passed, what is excused, and what is said about it."""

from __future__ import annotations

import json

import pytest

from deploynaut.engine.shell import Secret
from deploynaut.engine.smoke_tests import (
    Answer,
    Attempt,
    BadSmokeTest,
    Finding,
    NoAnswer,
    SmokeTest,
    objection,
    probe,
    run_all,
    verdict,
)
from deploynaut.engine.testing_web import ScriptedWeb

URL = "https://www.acme.example/"
OK = Answer(status=200, body=b"<h1>Welcome</h1>")
BROKEN = Answer(status=500, body=b"Traceback\x1b[31m (most recent call last)")
SCREEN = Answer(status=503, headers={"x-deploynaut-maintenance": "1"})


def smoke_test(**values: object) -> SmokeTest:
    return SmokeTest(**{"name": "home", "url": URL, "delay": 0, **values})  # type: ignore[arg-type]


def ask(web: ScriptedWeb, test: SmokeTest) -> Finding:
    return probe(test, transport=web, guard=lambda: None, sleep=lambda seconds: None)


def finding(test: str = "home", reason: str = "", **values: object) -> Finding:
    attempt = Attempt(ok=not reason, status=200, seconds=0.1, reason=reason)
    facts: dict[str, object] = {"test": test, "ok": not reason, "status": 200, "seconds": 0.1, "reason": reason}
    return Finding(**{**facts, "attempts": (attempt,), **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "answer", "reason"),
    [
        ({}, OK, ""),
        ({}, BROKEN, "answered 500, expected 200"),
        ({}, Answer(status=404), "answered 404, expected 200"),
        ({}, Answer(status=204), "answered 204, expected 200"),
        ({}, Answer(status=302, headers={"location": "/login"}), "answered 302 to /login, expected 200"),
        ({}, SCREEN, "our maintenance screen is up"),
        ({"status": 503}, SCREEN, "our maintenance screen is up"),
        ({"status": 503}, Answer(status=503), ""),
        ({"status": 404}, Answer(status=404), ""),
        ({}, Answer(status=503), "answered 503, expected 200"),
        ({"contains": "Welcome"}, OK, ""),
        ({"contains": "welcome"}, OK, "does not contain “welcome”"),
        ({"lacks": "Fatal"}, OK, ""),
        ({"lacks": "Welcome"}, OK, "contains “Welcome”"),
        ({"contains": "Hīnau"}, Answer(status=200, body="Hīnau".encode()), ""),
        (
            {"contains": "é"},
            Answer(status=200, headers={"content-type": "text/html; charset=latin-1"}, body=b"\xe9"),
            "",
        ),
        ({"contains": "x"}, Answer(status=200, headers={"content-type": "text/html; charset=nonsense"}, body=b"x"), ""),
        ({}, Answer(status=200, trouble="the page breaks off"), "the page breaks off"),
        ({}, Answer(status=500, trouble="the page breaks off"), "answered 500, expected 200"),
    ],
)
def test_an_answer_passes_only_when_it_is_the_expected_one(
    asked: dict[str, object], answer: Answer, reason: str
) -> None:
    assert objection(smoke_test(**asked), answer) == reason


@pytest.mark.parametrize(
    ("redirect", "location", "passes"),
    [
        ("/login", "/login", True),
        ("/login", "login", True),
        ("/login", "https://www.acme.example/login", True),
        ("/login", "https://www.acme.example:443/login", True),
        ("https://www.acme.example/login", "/login", True),
        ("/login", "/login?back=/admin/", True),
        ("/login?a=1", "/login?a=2", False),
        ("/login", "/Login", False),
        ("/login", "/login/", False),
        ("/login", "http://www.acme.example/login", False),
        ("/login", "https://evil.example/login", False),
        ("/login", "//evil.example/login", False),
        ("/login", "https://www.acme.example@evil.example/login", False),
        ("/login", "https://www.acme.example:8443/login", False),
        ("/login", "https://www.acme.example:bad/login", False),
        ("/login", "file:///login", False),
        ("/login", "", False),
    ],
)
def test_an_expected_redirect_is_compared_and_never_followed(redirect: str, location: str, passes: bool) -> None:
    web = ScriptedWeb({URL: Answer(status=302, headers={"location": location} if location else {})})
    found = ask(web, smoke_test(status=302, redirect=redirect))
    assert found.ok is passes and web.asked == [URL]
    if not passes:
        assert "redirects to" in found.reason and "expected https://www.acme.example/login" in found.reason


def test_a_test_that_passes_is_asked_once() -> None:
    web = ScriptedWeb({URL: OK})
    assert ask(web, smoke_test(attempts=5)).ok and web.asked == [URL]


def test_a_flapping_site_passes_within_its_attempts_and_each_one_is_listed() -> None:
    slept: list[float] = []
    web = ScriptedWeb({URL: [BROKEN, NoAnswer("the connection was refused"), OK]})
    found = probe(smoke_test(attempts=3, delay=7), transport=web, guard=lambda: None, sleep=slept.append)
    assert found.ok and found.flaky and slept == [7, 7]
    assert [each.reason for each in found.attempts] == ["answered 500, expected 200", "the connection was refused", ""]


def test_a_site_that_comes_back_too_late_fails() -> None:
    web = ScriptedWeb({URL: [BROKEN, BROKEN, OK]})
    found = ask(web, smoke_test(attempts=2))
    assert not found.ok and found.reason == "answered 500, expected 200" and len(web.asked) == 2


def test_an_abort_is_noticed_between_attempts() -> None:
    web = ScriptedWeb({URL: BROKEN})
    asked: list[int] = []

    def guard() -> None:
        asked.append(1)
        if len(web.asked) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        probe(smoke_test(attempts=9), transport=web, guard=guard, sleep=lambda seconds: None)
    assert len(web.asked) == 2


def test_the_log_names_every_attempt_and_holds_little_of_the_pages() -> None:
    lines: list[str] = []
    page = Answer(status=500, body=b"x" * 1_000_000)
    tests = [smoke_test(name=f"t{number}", url=f"{URL}{number}", attempts=20) for number in range(10)]
    web = ScriptedWeb({test.url: page for test in tests})
    run_all(tests, transport=web, guard=lambda: None, sleep=lambda seconds: None, log=lines.append)
    assert len(lines) == 200 and "attempt 20 of 20: answered 500, expected 200" in lines[-1]
    assert sum(line.count("x" * 10) * 10 for line in lines) <= 64 * 1024


def test_a_page_cannot_write_into_a_terminal() -> None:
    lines: list[str] = []
    run_all([smoke_test()], transport=ScriptedWeb({URL: BROKEN}), guard=lambda: None, sleep=print, log=lines.append)
    assert "Traceback" in lines[0] and "\x1b" not in lines[0]


def test_a_password_does_not_show() -> None:
    assert "hunter2" not in repr(smoke_test(user="a", password=Secret("hunter2")))


@pytest.mark.parametrize(
    "values",
    [
        {"url": "ftp://acme.example/"},
        {"url": "file:///etc/passwd"},
        {"url": "gopher://acme.example/"},
        {"url": "//acme.example/"},
        {"url": "http://"},
        {"url": "http:///x"},
        {"url": "http://user:pw@acme.example/"},
        {"url": "http://acme.example@127.0.0.1/"},
        {"url": "http://acme.example\\@127.0.0.1/"},
        {"url": "http://acme.example/\r\nHost: evil"},
        {"url": "http://acme.example/a b"},
        {"url": "http://acme.example:0/"},
        {"url": "http://acme.example:99999/"},
        {"url": "http://[::1/"},
        {"url": "http://acme.example/\0"},
        {"url": "http://acmé.example/"},
        {"redirect": "/login"},
        {"attempts": 0},
        {"within": 0},
        {"delay": -1},
    ],
)
def test_a_test_that_makes_no_sense_or_leads_elsewhere_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(BadSmokeTest, match="home"):
        smoke_test(**values)


# --- the verdict ---


def test_everything_passed() -> None:
    found = verdict([finding("a"), finding("b")])
    assert found.ok and found.text() == "2 passed"


def test_one_failure_fails() -> None:
    found = verdict([finding("a"), finding("b", "answered 500, expected 200")])
    assert not found.ok and found.text() == "b: answered 500, expected 200"


WORSE = "answered 500, expected 200"


@pytest.mark.parametrize(
    ("marked", "before", "now", "screen_before", "screen_now", "ok"),
    [
        (True, WORSE, WORSE, False, False, True),
        (False, WORSE, WORSE, False, False, False),
        (True, "", WORSE, False, False, False),
        (True, "answered 404, expected 200", WORSE, False, False, False),
        (True, WORSE, WORSE, True, False, False),
        (True, WORSE, WORSE, False, True, False),
        (True, None, WORSE, False, False, False),
        (True, WORSE, "", False, False, True),
    ],
)
def test_only_what_was_broken_in_the_same_way_before_and_is_marked_is_excused(
    marked: bool, before: str | None, now: str, screen_before: bool, screen_now: bool, ok: bool
) -> None:
    baseline = [] if before is None else [finding("a", before, behind_screen=screen_before)]
    found = verdict([finding("a", now, may_be_broken=marked, behind_screen=screen_now)], baseline)
    assert found.ok is ok
    assert [each.test for each in found.excused] == (["a"] if ok and now else [])


def test_an_excused_test_is_named() -> None:
    broken = finding("a", WORSE, may_be_broken=True)
    assert verdict([broken, finding("b")], [broken]).text() == "1 passed; excused, broken before too: a"


def test_how_long_a_failure_took_does_not_make_it_another_one() -> None:
    before, now = finding("a", WORSE, seconds=0.1), finding("a", WORSE, seconds=9.0, may_be_broken=True)
    assert verdict([now], [before]).ok


def test_after_a_rollback_only_what_worked_before_is_demanded() -> None:
    baseline = [finding("a"), finding("b", "answered 404, expected 200")]
    assert verdict([finding("a"), finding("b", WORSE)], baseline, after_rollback=True).ok
    assert not verdict([finding("a", WORSE), finding("b")], baseline, after_rollback=True).ok


def test_after_a_rollback_what_was_never_measured_is_demanded() -> None:
    assert not verdict([finding("a", WORSE)], None, after_rollback=True).ok
    assert not verdict([finding("a", WORSE)], [finding("a", WORSE, behind_screen=True)], after_rollback=True).ok


def test_after_a_rollback_the_screen_never_passes() -> None:
    now = finding("a", "our maintenance screen is up", behind_screen=True)
    assert not verdict([now], [finding("a", WORSE)], after_rollback=True).ok


def test_no_tests_are_said_to_be_none() -> None:
    assert verdict([]).text() == "no smoke tests are set up"


def test_a_flaky_pass_is_said() -> None:
    attempts = (Attempt(ok=False, status=500, seconds=0.1), Attempt(ok=True, status=200, seconds=0.1))
    assert verdict([finding("a", attempts=attempts)]).text() == "1 passed; not at once: a"


def test_a_finding_survives_a_row() -> None:
    found = finding("a", WORSE, may_be_broken=True)
    assert Finding.from_json(json.loads(json.dumps(found.as_json()))) == found


@pytest.mark.parametrize("page", ["x" * 9000, "\n" * 9000, "ū" * 9000, "🌳\n" * 9000])
def test_a_log_holds_at_most_64_kb_of_pages_however_many_tests_fail(page: str) -> None:
    web = ScriptedWeb({URL: Answer(status=500, body=page.encode())})
    lines: list[str] = []
    tests = [smoke_test(name=f"test{number}", attempts=5) for number in range(30)]
    run_all(tests, transport=web, guard=lambda: None, sleep=lambda seconds: None, log=lines.append)
    assert len(lines) == 150, "every attempt has its line, with a page or without"
    pages = [line.partition("\n")[2] for line in lines]
    assert 40_000 < sum(len(shown.encode()) for shown in pages) <= 64 * 1024
