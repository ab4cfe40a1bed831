"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class RunsConfig(AppConfig):
    """The room `runs`."""

    name = "deploynaut.runs"
    label = "runs"
    default_auto_field = "django.db.models.BigAutoField"
