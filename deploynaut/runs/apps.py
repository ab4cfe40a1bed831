"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class RunsConfig(AppConfig):
    """The room `runs`."""

    name = "deploynaut.runs"
    label = "runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hand the runner to the durable engine."""
        from deploynaut.durable import port as durable
        from deploynaut.runs.models import Run
        from deploynaut.runs.runner import advance

        durable.register("run", advance, pending=lambda: Run.objects.get_queryset().movable(now=durable.now()))
