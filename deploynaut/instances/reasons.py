"""Reasons in words: what somebody writes next to an act, for whoever reads the history."""

from __future__ import annotations

from django.core.exceptions import ValidationError

SHORTEST, LONGEST = 3, 1000


def check_reason(text: str, *, needed: bool = True, field: str = "reason") -> str:
    """The reason without the space around it. Raises ValidationError at `field`.

    Not `needed`: nothing at all may be written, but a reason that is written must be one.
    """
    reason = text.strip()
    if not reason and not (needed or text):
        return ""
    if len(reason) < SHORTEST:
        raise ValidationError({field: f"Give a reason of at least {SHORTEST} characters."})
    if len(reason) > LONGEST:
        raise ValidationError({field: f"The reason has {len(reason)} characters; {LONGEST} is the most."})
    if any(not letter.isprintable() and letter not in "\n\r\t" for letter in reason):
        raise ValidationError({field: "Write plain text without control characters."})
    return reason
