"""`manage.py demo`: sets up the demo that `./run` serves."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from deploynaut.durable import port
from deploynaut.durable.inline import InlineEngine
from deploynaut.instances.secrets import ensure_master_key


class Command(BaseCommand):
    """Set up the demo."""

    help = "Sets up the demo instance, its people and its environments. Harmless when repeated."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rows first; then the keys, the first fetch and the targets, here and now, so that the first page is full."""
        from demo.layout import Demo
        from deploynaut.cli.demo import set_up

        if not settings.DEPLOYNAUT_DEMO:
            raise CommandError("This is not a demo: DEPLOYNAUT_DEMO is not set. Nothing was changed.")
        ensure_master_key()
        engine = InlineEngine()
        with port.using(engine):
            instance = set_up(Demo(settings.DEPLOYNAUT_DATA), now=port.now())
            engine.settle()
        self.stdout.write(f"The demo instance {instance} is set up.")
