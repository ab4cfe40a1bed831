"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class CliConfig(AppConfig):
    """The room `cli`."""

    name = "deploynaut.cli"
    label = "cli"
    default_auto_field = "django.db.models.BigAutoField"
