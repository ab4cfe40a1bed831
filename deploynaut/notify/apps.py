"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class NotifyConfig(AppConfig):
    """The room `notify`."""

    name = "deploynaut.notify"
    label = "notify"
    default_auto_field = "django.db.models.BigAutoField"
