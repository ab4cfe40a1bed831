"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class DurableConfig(AppConfig):
    """The room `durable`."""

    name = "deploynaut.durable"
    label = "durable"
    default_auto_field = "django.db.models.BigAutoField"
