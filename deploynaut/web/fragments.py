"""What several pages share: which page number was asked for, and how a form's problems are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

HISTORY = 25


def page(request: HttpRequest, rows: QuerySet[Any, Any], *, size: int = HISTORY) -> Page[Any]:
    """The part of a list that was asked for by `?page=`; the nearest one there is for nonsense."""
    return Paginator(rows, size).get_page(request.GET.get("page", "1"))


def problems(error: ValidationError) -> dict[str, list[str]]:
    """What a verb said, by field; `general` holds what belongs to none."""
    if hasattr(error, "error_dict"):
        return {"general" if field == "__all__" else field: words for field, words in error.message_dict.items()}
    return {"general": list(error.messages)}


def typed(request: HttpRequest, names: Sequence[str], *, longest: int = 20_000) -> dict[str, str]:
    """What was typed into the fields of a form, without the space around it."""
    return {name: request.POST.get(name, "")[:longest].strip() for name in names}


def refuse_control(values: Mapping[str, str], *, multiline: Sequence[str] = ()) -> dict[str, list[str]]:
    """Problems of the values that hold characters nobody types: control characters, and bidirectional marks."""
    found = {}
    for name, value in values.items():
        allowed = "\n\r\t" if name in multiline else ""
        if any(not letter.isprintable() and letter not in allowed for letter in value):
            found[name] = ["Write plain text without control characters."]
    return found
