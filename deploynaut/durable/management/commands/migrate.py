"""`manage.py migrate`: Django's own, and the queue's file, both in WAL mode before anything opens them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import DEFAULT_DB_ALIAS

from deploynaut.durable import port


class Command(MigrateCommand):
    """Bring everything that is kept up to date."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate the database; for all apps of the main one, the queue and the cache table too."""
        super().handle(*args, **options)
        if options["database"] == DEFAULT_DB_ALIAS and not options["app_label"] and not options["plan"]:
            port.engine().migrate()
            if "DatabaseCache" in settings.CACHES["default"]["BACKEND"]:
                call_command("createcachetable", verbosity=options["verbosity"])
