"""Reasons that people give: read by others long after, so they must say something."""

from __future__ import annotations

from django.core.exceptions import ValidationError

LEAST, MOST = 3, 1000


def reason_of(text: str, *, needed: bool = True, least: int = LEAST, field: str = "reason") -> str:
    """The reason on one line, without the blanks around it.

    Not `needed`: nothing at all may be written, but a reason that is written must be one. Raises ValidationError at
    `field` for none, too short (under `least` characters), too long, or hidden text.
    """
    if not needed and not text:
        return ""
    said = " ".join(text.split())
    if len(said) < least:
        raise ValidationError({field: f"Give a reason of at least {least} characters: others will read it."})
    if len(said) > MOST:
        raise ValidationError({field: f"The reason has {len(said)} characters; {MOST} is the most."})
    if not said.isprintable():
        raise ValidationError({field: "The reason holds characters that cannot be seen. Write it in plain text."})
    return said
