"""How lines of a log are written: harmless, each with its time, none passing for somebody else's."""

from __future__ import annotations

import re
from datetime import datetime

QUOTE = "| "
"""Before every line that others wrote: a target, a build, a page. No line of ours begins with it."""
BREAK = re.compile(r"(?:\A|\n)\d\d:\d\d:\d\d (?:\| )?")
"""What lies between two lines of a stamped log, and before the first."""

OVERWRITES = 40
"""Pieces of one line, written over each other, that a log keeps: progress bars have hundreds, floods have millions."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Everything a terminal would obey, everything that hides or turns text, and halves of letters; new lines and tabs stay.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def clean(text: str) -> str:
    """Text that cannot act on a terminal or a page: colours are dropped, other control characters made visible."""
    text = _COLOUR.sub("", text.replace("\r\n", "\n"))
    if "\r" in text:
        text = "\n".join(_overwritten(line) for line in text.split("\n"))
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _overwritten(line: str) -> str:
    """A line that a terminal would write over, as one line a piece; of many pieces the first and the last."""
    pieces = line.split("\r")
    if len(pieces) > OVERWRITES:
        half, between = OVERWRITES // 2, len(pieces) - OVERWRITES
        pieces = [*pieces[:half], f"[… written over {between:,} times …]", *pieces[-half:]]
    return "\n".join(pieces)


def one_voice(text: str) -> str:
    """Clean text whose further lines are marked as quoted: what a cause cites is never read as a line of ours."""
    return clean(text).strip().replace("\n", f"\n{QUOTE}")


def stamped(text: str, *, now: datetime) -> str:
    """Each line of the text with the time (UTC) before it, ending in a new line."""
    stamp = now.strftime("%H:%M:%S")
    return "".join(f"{stamp} {line}\n" for line in text.splitlines() or [""])
