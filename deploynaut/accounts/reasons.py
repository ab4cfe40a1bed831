"""Reasons that people give: read by others long after, so they must say something."""

from __future__ import annotations

from django.core.exceptions import ValidationError

LEAST, MOST = 3, 1000


def reason_of(text: str, *, field: str = "reason") -> str:
    """The reason without the blanks around it. Raises ValidationError at `field` for none, too much, or hidden text."""
    said = " ".join(text.split())
    if len(said) < LEAST:
        raise ValidationError({field: f"Give a reason of at least {LEAST} characters: others will read it."})
    if len(said) > MOST:
        raise ValidationError({field: f"Keep the reason under {MOST} characters."})
    if not said.isprintable():
        raise ValidationError({field: "The reason holds characters that cannot be seen. Write it in plain text."})
    return said
