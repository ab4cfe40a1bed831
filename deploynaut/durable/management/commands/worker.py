"""`manage.py worker`: handles wakes until it is asked to stop."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from deploynaut.durable import port
from deploynaut.durable.process import (
    BadName,
    NameTaken,
    NoParentSignal,
    check_name,
    die_with_parent,
)


class Command(BaseCommand):
    """Run a worker process."""

    help = "Runs deployments and sends messages. Stops within 8 seconds when asked; another worker goes on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The name, and whether to end with the parent."""
        parser.add_argument(
            "--name",
            default="worker-1",
            help="One process a name; keep it over restarts.",
        )
        parser.add_argument(
            "--die-with-parent",
            action="store_true",
            help="Stop when the starting process ends.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Work, then leave without waiting for handlers that did not stop in time."""
        try:
            if options["die_with_parent"]:
                die_with_parent()
            port.run_worker(check_name(options["name"]))
        except (BadName, NameTaken, NoParentSignal) as error:
            raise CommandError(str(error)) from error
        leave()


def leave() -> None:
    """End the process now: a handler still running in a thread would hold the usual end; its row moves on elsewhere."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
