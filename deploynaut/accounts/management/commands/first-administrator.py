"""`manage.py first-administrator`: prints the one-time link by which the first Administrator makes their account."""
# ruff: noqa: N999 - the hyphen is what people type

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from deploynaut.accounts.clock import now
from deploynaut.accounts.first_administrator import AdministratorExists, FirstAdministratorLink


class Command(BaseCommand):
    """Prints a link that works once, for 24 hours, while nobody is Administrator."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the link alone on a line, so that it can be piped."""
        try:
            token = FirstAdministratorLink.objects.invite(now=now())
        except AdministratorExists as error:
            raise CommandError(str(error)) from error
        self.stdout.write(settings.DEPLOYNAUT_URL + reverse("first_administrator", kwargs={"token": token}))
        self.stderr.write("Open it within 24 hours. It works once; an earlier link has stopped working.")
