"""`{% dressed field %}`: a form field as Tabler wants it, its help and errors tied to it for screen readers."""

from __future__ import annotations

from django import forms, template
from django.forms.boundfield import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def dressed(field: BoundField) -> SafeString:
    """The control alone; the template writes label, help (`<id>_help`) and errors (`<id>_error`) around it."""
    attrs: dict[str, str | bool] = {"class": _look(field)}
    if described := _described_by(field):
        attrs["aria-describedby"] = described
    if field.errors:
        attrs["aria-invalid"] = "true"
    field.field.widget.attrs.pop("placeholder", None)
    return field.as_widget(attrs=attrs)


@register.filter
def is_checkbox(field: BoundField) -> bool:
    """Whether the label goes behind the control."""
    return isinstance(field.field.widget, forms.CheckboxInput)


def _look(field: BoundField) -> str:
    look = "form-check-input" if is_checkbox(field) else "form-control"
    return f"{look} is-invalid" if field.errors else look


def _described_by(field: BoundField) -> str:
    ids = [f"{field.id_for_label}_error"] if field.errors else []
    return " ".join([*ids, f"{field.id_for_label}_help"] if field.help_text else ids)
