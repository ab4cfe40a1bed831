"""What a server said, in one line without our secrets in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

LONGEST = 400
HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Told:
    """An answer as the child puts it together."""

    taken: bool
    words: str
    perhaps: bool = False
    final: bool = False

    def for_the_parent(self, parcel: Mapping[str, Any]) -> dict[str, Any]:
        """With everything taken out that the parcel's URL or password holds."""
        words = one_line(hide(self.words, secrets_of(parcel)))
        return {"taken": self.taken, "words": words, "perhaps": self.perhaps, "final": self.final}


def one_line(words: str) -> str:
    """Printable, on one line, not too long."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def hide(words: str, secrets: list[str]) -> str:
    """The words with each secret struck out, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        words = words.replace(secret, HIDDEN)
    return words


def secrets_of(parcel: Mapping[str, Any]) -> list[str]:
    """What must never be shown: a password, and every part of a URL but its scheme and host."""
    found = {str(parcel.get("password", "")), str(parcel.get("code", ""))}
    if url := str(parcel.get("url", "")):
        found |= set(_parts(url))
    to = str(parcel.get("to", ""))
    return [part for part in found if len(part) >= 4 and part not in {to, to.lstrip("+")}]


def _parts(url: str) -> Iterator[str]:
    yield url
    try:
        split = urlsplit(url)
    except ValueError:
        return
    words = [split.username or "", split.password or "", *split.path.split("/")]
    words += [value for _, value in parse_qsl(split.query)]
    for word in words:
        yield from (word, unquote(word))
    # In many of Apprise's addresses the first part of the secret stands where a host would be.
    if "." not in (split.hostname or ".") and split.hostname != "localhost":
        yield from (split.netloc, split.netloc.rpartition("@")[2])
