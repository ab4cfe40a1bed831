"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The room `accounts`."""

    name = "deploynaut.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"
