"""Known secrets are masked at the one sink, before anything is stored.

A secret is looked for in the forms in which programs print it: as it is, URL-encoded, as JSON, quoted for a shell, in
hexadecimal, and inside base64 at each of the three alignments (S40).
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Shorter words are not masked: they would black out half of every log."""


def forms(secret: str) -> frozenset[str]:
    """All forms of a secret that are masked; a secret of several lines also line by line."""
    parts = {secret, *(line for line in secret.splitlines() if len(line) >= 16)}
    found: set[str] = set()
    for part in parts:
        found |= {part, quote(part, safe=""), quote_plus(part), json.dumps(part)[1:-1], shlex.quote(part)}
        found |= {part.encode().hex(), *_in_base64(part.encode())}
    return frozenset(form for form in found if len(form) >= SHORTEST)


def _in_base64(raw: bytes) -> set[str]:
    """The middle of every base64 text that contains `raw`, whatever stands before and after it."""
    found = set()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        middle = encoded[-(-offset * 8 // 6) : len(encoded) - 1]
        if len(middle) >= SHORTEST:
            found |= {middle, middle.replace("+", "-").replace("/", "_")}
    return found


class Mask:
    """Masks a stream of text. What might be the beginning of a secret is held back until the next piece."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._held = ""

    def add(self, secret: str) -> None:
        """From here on, this secret is masked."""
        if len(secret) < SHORTEST:
            return
        self._forms |= forms(secret)
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(form) for form in longest_first))

    def feed(self, text: str) -> str:
        """The text that is safe to store now."""
        if self._pattern is None:
            return text
        text = self._pattern.sub("***", self._held + text)
        keep = self._beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back; call at the end."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """Length of the longest end of the text with which a secret might begin."""
        longest = max(len(form) for form in self._forms) - 1
        for size in range(min(longest, len(text)), 0, -1):
            end = text[-size:]
            if any(form.startswith(end) for form in self._forms):
                return size
        return 0
