"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class WebConfig(AppConfig):
    """The room `web`."""

    name = "deploynaut.web"
    label = "web"
    default_auto_field = "django.db.models.BigAutoField"
