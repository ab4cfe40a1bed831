"""What a smoke test asks for, what came back, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from deploynaut.engine.shell import Secret

SCREEN_HEADER = "x-deploynaut-maintenance"
LIMIT = 1 << 20
"""Bytes of a page that are read, unpacked."""

REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTest:
    """One URL and the answer that is expected.

    `within`: seconds for the whole answer. `delay`: seconds between attempts. `redirect`: the expected Location, taken
    relative to `url`; without a query it goes with any. `may_be_broken`: a failure that was there before is excused.
    """

    __test__ = False

    name: str
    url: str
    status: int = 200
    contains: str = ""
    lacks: str = ""
    within: float = 20
    attempts: int = 1
    delay: float = 10
    redirect: str = ""
    may_be_broken: bool = False
    user: str = ""
    password: Secret | None = None
    verify_tls: bool = True

    def __post_init__(self) -> None:
        _check_url(self.name, self.url)
        if self.redirect and self.status not in REDIRECTS:
            raise BadSmokeTest(f"Smoke test {self.name}: with `redirect` the status must be one of {REDIRECTS}.")
        if self.within <= 0 or self.attempts < 1 or self.delay < 0:
            raise BadSmokeTest(f"Smoke test {self.name}: `within` and `attempts` are more than 0, `delay` is not less.")


class BadSmokeTest(ValueError):
    """A smoke test that can never pass, or must not be asked. The text names it."""


def _check_url(name: str, url: str) -> None:
    """http(s), a host, no log-in inside, nothing that two parsers could read differently."""
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
        raise BadSmokeTest(f"Smoke test {name}: {url[:80]!r} has characters that do not belong in an address.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadSmokeTest(f"Smoke test {name}: {url[:80]!r} is not an address: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadSmokeTest(f"Smoke test {name}: {url[:80]!r} must begin with http:// or https:// and a host.")
    if "@" in parts.netloc:
        raise BadSmokeTest(f"Smoke test {name}: write user and password into their own fields, not into the address.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said. `headers`: lower-case names. `trouble`: why the body is not whole, usually empty."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    trouble: str = ""
    seconds: float = 0.0


class NoAnswer(Exception):
    """No answer at all; `reason` is for people and the same each time for the same cause."""

    def __init__(self, reason: str, *, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds


class Transport(Protocol):
    """The one way to the web: `HttpTransport`, or `ScriptedWeb` in tests."""

    def get(self, test: SmokeTest, *, guard: Callable[[], None]) -> Answer:
        """Ask once, within the test's time. Raises NoAnswer, or whatever the guard raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try. `reason` is empty when it passed; `excerpt` is the beginning of a page that did not."""

    ok: bool
    status: int | None
    seconds: float
    reason: str = ""
    behind_screen: bool = False
    excerpt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found for one test; status, seconds and reason are those of the last attempt."""

    test: str
    ok: bool
    status: int | None
    seconds: float
    reason: str
    attempts: tuple[Attempt, ...]
    may_be_broken: bool = False
    behind_screen: bool = False

    @property
    def flaky(self) -> bool:
        """Passed, and not at once."""
        return self.ok and len(self.attempts) > 1

    def same_as(self, other: Finding) -> bool:
        """Whether both are the same finding; how long it took does not matter."""
        return (self.test, self.ok, self.status, self.reason) == (other.test, other.ok, other.status, other.reason)

    def text(self) -> str:
        """One line for people."""
        flaky = f" at attempt {len(self.attempts)}" if self.flaky else ""
        return f"{self.test}: {'passed' + flaky if self.ok else self.reason} ({self.seconds:.2f} s)"

    def as_json(self) -> dict[str, Any]:
        """Plain values, without excerpts."""
        return {
            "test": self.test,
            "ok": self.ok,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
            "may_be_broken": self.may_be_broken,
            "behind_screen": self.behind_screen,
            "attempts": [
                {"ok": each.ok, "status": each.status, "seconds": round(each.seconds, 3), "reason": each.reason}
                for each in self.attempts
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Finding:
        """The finding that `as_json` gave."""
        attempts = tuple(Attempt(**each) for each in value["attempts"])
        return cls(**{**value, "attempts": attempts})
