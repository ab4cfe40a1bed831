"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    """The room `deployments`."""

    name = "deploynaut.deployments"
    label = "deployments"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hand deployments to the runner; tidy up before any work."""
        from deploynaut.deployments import comparison, errands
        from deploynaut.deployments.resolution import KIND, ResolutionSubject
        from deploynaut.deployments.subject import DeploymentSubject, tidy
        from deploynaut.durable import port
        from deploynaut.runs import subjects

        port.at_worker_start(tidy)
        subjects.register("deployment", DeploymentSubject())
        comparison.register()
        errands.register()
        subjects.register(KIND, ResolutionSubject())
