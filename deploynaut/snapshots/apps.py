"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class SnapshotsConfig(AppConfig):
    """The room `snapshots`."""

    name = "deploynaut.snapshots"
    label = "snapshots"
    default_auto_field = "django.db.models.BigAutoField"
