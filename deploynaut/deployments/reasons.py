"""Reasons that people give: read by others long after, so they must say something."""

from __future__ import annotations

import unicodedata

from django.core.exceptions import ValidationError

LONGEST = 1000


def reason_of(text: str, *, least: int = 3, field: str = "reason") -> str:
    """The reason without blanks around it. Raises ValidationError at `field`: too short, too long, or hidden text."""
    said = " ".join(text.split())
    if len(said) < least:
        raise ValidationError({field: f"Give a reason of at least {least} characters: others will read it."})
    if len(said) > LONGEST:
        raise ValidationError({field: f"Keep the reason under {LONGEST} characters."})
    if any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Co") for each in said):
        raise ValidationError({field: "The reason holds characters that cannot be seen. Write it in plain text."})
    return said
