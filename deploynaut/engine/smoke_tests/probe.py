"""Asks for a page, as often as the test allows, and says what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import urljoin, urlsplit

from deploynaut.engine.connections.base import quoted
from deploynaut.engine.smoke_tests.values import SCREEN_HEADER, Answer, Attempt, Finding, NoAnswer, SmokeTest, Transport

EXCERPT = 2_000
EXCERPTS = 64_000
"""Bytes of pages that a whole run of tests may write to the log, as they stand there."""


def run_all(
    tests: Sequence[SmokeTest],
    *,
    transport: Transport,
    guard: Callable[[], None],
    sleep: Callable[[float], None],
    log: Callable[[str], None],
) -> list[Finding]:
    """Every test, one after the other, each attempt with a line in the log."""
    left = EXCERPTS
    findings = []
    for test in tests:
        finding = probe(test, transport=transport, guard=guard, sleep=sleep)
        for number, attempt in enumerate(finding.attempts, 1):
            excerpt = quoted(attempt.excerpt).encode()[:left] if attempt.excerpt else b""
            left -= len(excerpt)
            shown = excerpt.decode("utf-8", "ignore")
            log(_line(test, number, attempt) + (f"\n{shown}" if shown else ""))
        findings.append(finding)
    return findings


def probe(
    test: SmokeTest, *, transport: Transport, guard: Callable[[], None], sleep: Callable[[float], None]
) -> Finding:
    """Up to `test.attempts` tries, `test.delay` apart. `guard` is asked before each one."""
    attempts: list[Attempt] = []
    while not attempts or (not attempts[-1].ok and len(attempts) < test.attempts):
        if attempts:
            sleep(test.delay)
        guard()
        attempts.append(_attempt(test, transport=transport, guard=guard))
    last = attempts[-1]
    return Finding(
        test=test.name,
        ok=last.ok,
        status=last.status,
        seconds=last.seconds,
        reason=last.reason,
        attempts=tuple(attempts),
        may_be_broken=test.may_be_broken,
        behind_screen=last.behind_screen,
    )


def _attempt(test: SmokeTest, *, transport: Transport, guard: Callable[[], None]) -> Attempt:
    try:
        answer = transport.get(test, guard=guard)
    except NoAnswer as error:
        return Attempt(ok=False, status=None, seconds=error.seconds, reason=error.reason)
    reason = objection(test, answer)
    return Attempt(
        ok=not reason,
        status=answer.status,
        seconds=answer.seconds,
        reason=reason,
        behind_screen=SCREEN_HEADER in answer.headers,
        excerpt=_shown(_text(answer))[:EXCERPT] if reason else "",
    )


def objection(test: SmokeTest, answer: Answer) -> str:
    """Why this answer does not pass, in words; empty when it passes."""
    if SCREEN_HEADER in answer.headers:
        return "our maintenance screen is up"
    if answer.status != test.status:
        return f"answered {answer.status}{_to(answer)}, expected {test.status}"
    if test.redirect and not _leads_to(test, answer):
        return f"redirects{_to(answer) or ' to nowhere'}, expected {urljoin(test.url, test.redirect)}"
    if answer.trouble:
        return answer.trouble
    text = _text(answer)
    if test.contains and test.contains not in text:
        return f"does not contain {_quoted(test.contains)}"
    if test.lacks and test.lacks in text:
        return f"contains {_quoted(test.lacks)}"
    return ""


def _leads_to(test: SmokeTest, answer: Answer) -> bool:
    wanted = urlsplit(urljoin(test.url, test.redirect))
    try:
        found = urlsplit(urljoin(test.url, answer.headers.get("location", "")))
        ports = (wanted.port or _usual(wanted.scheme), found.port or _usual(found.scheme))
    except ValueError:
        return False
    # `/login` also means `/login?back=/admin/`: sites add the way back, and nobody wants to spell it out.
    query_is_right = not wanted.query or wanted.query == found.query
    here = (wanted.scheme, wanted.hostname, wanted.path or "/")
    there = (found.scheme, found.hostname, found.path or "/")
    return here == there and ports[0] == ports[1] and query_is_right and "@" not in found.netloc


def _usual(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _to(answer: Answer) -> str:
    location = answer.headers.get("location", "")
    return f" to {_shown(location)[:200]}" if location else ""


def _text(answer: Answer) -> str:
    named = re.search(r"charset=\"?([A-Za-z0-9._-]{1,40})", answer.headers.get("content-type", ""))
    try:
        return answer.body.decode(named[1] if named else "utf-8", "replace")
    except (LookupError, UnicodeError):
        return answer.body.decode("utf-8", "replace")


def _shown(text: str) -> str:
    """Harmless in a log and on a terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "·" for letter in text[: EXCERPT * 2])


def _quoted(text: str) -> str:
    return f"“{_shown(text)[:100]}”"


def _line(test: SmokeTest, number: int, attempt: Attempt) -> str:
    tried = f"attempt {number} of {test.attempts}: " if test.attempts > 1 else ""
    said = "passed" if attempt.ok else attempt.reason
    return f"{test.name} ({test.url}): {tried}{said} ({attempt.seconds:.2f} s)"
