"""`manage.py import-pipeline FILE`: a template of the original in our form, with a report. Nothing is saved."""
# ruff: noqa: N999 - the hyphen is what people type

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deploynaut.engine.pipeline import SpecError
from deploynaut.engine.pipeline.importing import NotATemplate, translate
from deploynaut.engine.pipeline.reading import MAXIMUM_BYTES


class Command(BaseCommand):
    """Translate a template."""

    help = "Prints a template of the earlier Deploynaut as a pipeline file; the report goes to the error output."
    requires_system_checks: list[str] = []  # it needs no database

    def add_arguments(self, parser: CommandParser) -> None:
        """The file, and for which kind of environment."""
        parser.add_argument("file", help="the template, or - for the input")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--production", action="store_const", const=True, dest="production", help="for production")
        kind.add_argument("--uat", action="store_const", const=False, dest="production", help="for test or UAT")

    def handle(self, *args: Any, **options: Any) -> None:
        """The file to the output, the report beside it."""
        name = options["file"]
        try:
            found = translate(_read(name), production=options["production"], name=name)
        except (SpecError, NotATemplate) as error:
            raise CommandError(f"Nothing was translated.\n{error}") from None
        self.stdout.write(found.text, ending="")
        for line in found.report:
            self.stderr.write(str(line))
        kind = "production" if found.production else "test or UAT"
        self.stderr.write(f"Translated for {kind}. Paste it into the page Pipeline, which checks people and hosts.")


def _read(name: str) -> str:
    """At most a little more than a pipeline file may have: the reader then says that it is too large."""
    try:
        if name == "-":
            return sys.stdin.read(MAXIMUM_BYTES + 1)
        with Path(name).open(encoding="utf-8", errors="strict") as file:
            return file.read(MAXIMUM_BYTES + 1)
    except (OSError, UnicodeError) as error:
        raise CommandError(f"{name} cannot be read: {error}") from None
