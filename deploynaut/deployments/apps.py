"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    """The room `deployments`."""

    name = "deploynaut.deployments"
    label = "deployments"
    default_auto_field = "django.db.models.BigAutoField"
