"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The room `accounts`."""

    name = "deploynaut.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen for log-ins and what else the audit trail must know."""
        from deploynaut.accounts import listeners

        listeners.connect()
