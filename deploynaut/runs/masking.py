"""Known secrets are masked at the one sink, before anything is stored.

A secret is looked for in the forms in which programs print it: as it is, URL-encoded, as JSON, quoted for a shell, in
hexadecimal, and inside base64 at each of the three alignments (S40). Line ends inside it do not hide it: long lines are
cut, base64 is wrapped, a key has lines of its own.
"""

from __future__ import annotations

import base64
import json
import shlex
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate
from urllib.parse import quote, quote_plus

from deploynaut.runs.log_text import BREAK

SHORTEST = 6
"""Shorter words are not masked: they would black out half of every log."""
TELLING = 8
"""Characters of a secret's beginning that are held back at the end of a line; fewer tell nothing."""
REST = 12
"""Characters of a secret's beginning or end that are masked by themselves: lines and causes are cut somewhere."""
MASKED = "***"
_ENOUGH = 40 * TELLING
"""Characters of a stamped log in which so many others lie, were each on a line of its own."""


def forms(secret: str) -> frozenset[str]:
    """All forms of a secret that are masked, without line ends; a secret of several lines also line by line."""
    parts = {secret, *(line for line in secret.splitlines() if len(line) >= 16)}
    found: set[str] = set()
    for part in parts:
        found |= {part, quote(part, safe=""), quote_plus(part), json.dumps(part)[1:-1], shlex.quote(part)}
        found |= {part.encode().hex(), part.encode().hex().upper(), *_in_base64(part.encode())}
    return frozenset(form.replace("\n", "") for form in found if len(form) >= SHORTEST)


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
        self._known = _Known(frozenset())
        self._held = ""
        self._before = ""

    def add(self, secret: str) -> None:
        """From here on, this secret is masked."""
        if len(secret) >= SHORTEST:
            self._known = _Known(self._known.forms | forms(secret))

    def feed(self, text: str) -> str:
        """The text that is safe to store now."""
        if not self._known.forms:
            return text
        text = _whole_masked(_Flat(self._held + text), self._known.forms, before=self._before)
        keep = self._known.beginning_at_end(text)
        safe, self._held = text[: len(text) - keep], text[len(text) - keep :]
        self._before = (self._before + _Flat(safe[-_ENOUGH:]).text)[-TELLING:]
        return _cut_masked(safe, self._known)

    def flush(self) -> str:
        """What was held back, masked when it tells something; call at the end."""
        held, self._held = self._held, ""
        return MASKED + "\n" * held.endswith("\n") if len(_Flat(held).text) >= TELLING else held

    def once(self, text: str) -> str:
        """A whole text, masked; nothing is held back."""
        masked = _whole_masked(_Flat(text), self._known.forms, before="")
        return _cut_masked(masked, self._known)


class _Known:
    """The forms of all secrets, and their beginnings, which are asked for when there is a text."""

    def __init__(self, forms: frozenset[str]) -> None:
        self.forms = forms

    @cached_property
    def longest(self) -> int:
        return max(map(len, self.forms), default=0)

    @cached_property
    def beginnings(self) -> frozenset[str]:
        return frozenset(form[:size] for form in self.forms for size in range(1, len(form)))

    @cached_property
    def endings(self) -> frozenset[str]:
        return frozenset(form[-size:] for form in self.forms for size in range(1, len(form)))

    @cached_property
    def first_letters(self) -> frozenset[str]:
        return frozenset(form[:REST] for form in self.forms if len(form) > REST)

    @cached_property
    def last_letters(self) -> frozenset[str]:
        return frozenset(form[-REST:] for form in self.forms if len(form) > REST)

    def beginning_at_end(self, text: str) -> int:
        """Length of the longest end of the text with which a secret might begin."""
        flat = _Flat(text[-_ENOUGH - 2 * self.longest :])
        least = TELLING if text.endswith("\n") else 1
        for size in range(min(self.longest - 1, len(flat.text)), least - 1, -1):
            if flat.text[-size:] in self.beginnings:
                return len(flat.shown) - flat.at(len(flat.text) - size)
        return 0


class _Flat:
    """A text (`shown`) without what lies between its lines (`text`), and the way back from there."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        body = shown.removesuffix("\n")
        breaks = list(BREAK.finditer(body))
        starts = [0, *(found.end() for found in breaks)]
        pieces = [body[a:b] for a, b in zip(starts, [*(found.start() for found in breaks), len(body)], strict=True)]
        self.text = "".join(pieces)
        self._starts = starts
        self._flat_starts = [0, *accumulate(map(len, pieces[:-1]))]

    def at(self, position: int) -> int:
        """Where a character of `text` is in `shown`."""
        piece = bisect_right(self._flat_starts, position) - 1
        return self._starts[piece] + position - self._flat_starts[piece]


def _whole_masked(flat: _Flat, forms: Iterable[str], *, before: str) -> str:
    """The text with every form masked, also one that began in what came before."""
    spans = []
    for start, end in _found(before + flat.text, forms):
        if end > len(before):
            begin = flat.at(max(start - len(before), 0))
            spans.append((begin, flat.at(end - len(before) - 1) + 1))
    return _replaced(flat.shown, spans)


def _cut_masked(text: str, known: _Known) -> str:
    """The text without what is left of a secret where somebody has cut it: its first letters, or its last."""
    spans = []
    for start, end in _found(text, known.first_letters):
        while text[start : end + 1] in known.beginnings and end < len(text):
            end += 1
        spans.append((start, end))
    for start, end in _found(text, known.last_letters):
        while start and text[start - 1 : end] in known.endings:
            start -= 1
        spans.append((start, end))
    return _replaced(text, spans)


def _replaced(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with the spans masked; overlapping ones as one."""
    pieces, upto = [], 0
    for start, end in sorted(spans):
        if start >= upto:
            pieces += [text[upto:start], MASKED]
        upto = max(upto, end)
    return "".join([*pieces, text[upto:]])


def _found(text: str, forms: Iterable[str]) -> Iterator[tuple[int, int]]:
    for form in forms:
        start = text.find(form)
        while start >= 0:
            yield start, start + len(form)
            start = text.find(form, start + len(form))
