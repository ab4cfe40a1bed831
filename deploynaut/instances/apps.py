"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class InstancesConfig(AppConfig):
    """The room `instances`."""

    name = "deploynaut.instances"
    label = "instances"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hand fetches, keys, scans, set-ups and checks to the runner; tidy up before any work."""
        from deploynaut.durable import port
        from deploynaut.instances.secrets import begin
        from deploynaut.instances.work import register

        register()
        port.at_worker_start(begin)
