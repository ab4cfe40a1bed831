"""Where mail and texts go: one row each, set by an Administrator. Secrets are sealed; the worker alone opens them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models, transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.engine.vault import VaultError
from deploynaut.instances import secrets
from deploynaut.notify import gateways

SYSTEM = audit.Subject("system", None, "messages")
HOST = re.compile(r"\A[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z|\A\[?[0-9A-Fa-f:.]{2,45}\]?\Z")
SENDER = re.compile(r'\A(?:([^<>"\r\n,;:@]{1,100})<([^<>\s]+)>|([^<>\s]+))\Z')


def seal(secret: str, *, purpose: str, field: str) -> str:
    """The secret as it is stored. Raises ValidationError while there is no master key yet."""
    try:
        return secrets.seal().seal(secret, purpose=purpose)
    except (VaultError, OSError):
        raise ValidationError({field: "The worker has not made its key yet. Start it, then try again."}) from None


class MailServerManager(models.Manager["MailServer"]):
    """The one mail server."""

    def current(self) -> MailServer | None:
        """What an Administrator has set; None: the settings of the installation hold."""
        return self.first()

    def change(self, *, by: User, now: datetime, password: str = "", **fields: Any) -> MailServer:
        """Set it. An empty password keeps the one there is, unless the server or its user is another one now.

        Raises NotAllowed, and ValidationError with the field's name.
        """
        require(by, Right.SYSTEM_SETTINGS)
        with transaction.atomic():
            before = self.select_for_update().first()
            server = self.model(pk=1, changed_at=now, changed_by=by, **fields)
            server.clean_all()
            same = before is not None and (before.host, before.user) == (server.host, server.user)
            server.password = before.password if before is not None and same and not password else ""
            if password and server.user:
                server.password = seal(password, purpose=MailServer.PURPOSE, field="password")
            server.save()
            was = before.shown() if before else {}
            audit.record("mail server set", actor=by, subject=SYSTEM, now=now, before=was, after=server.shown())
        return server

    def forget(self, *, by: User, now: datetime) -> None:
        """Back to the settings of the installation. Raises NotAllowed."""
        require(by, Right.SYSTEM_SETTINGS)
        with transaction.atomic():
            before = self.first()
            if before is not None:
                before.delete()
                audit.record("mail server removed", actor=by, subject=SYSTEM, now=now, before=before.shown())


class MailServer(models.Model):
    """How mail leaves. `password` is sealed."""

    PURPOSE = "notify:mail-server:password"

    class Tls(models.TextChoices):
        """How the way there is kept secret."""

        STARTTLS = "starttls", "STARTTLS (usual on port 587)"
        TLS = "tls", "TLS from the start (usual on port 465)"
        NONE = "none", "none (a server on this machine or network)"

    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField(default=587)
    tls = models.CharField(max_length=10, choices=Tls.choices, default=Tls.STARTTLS)
    user = models.CharField(max_length=200, blank=True)
    password = models.TextField(blank=True)
    sender = models.CharField(max_length=300)
    changed_at = models.DateTimeField()
    changed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    objects = MailServerManager()

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def clean_all(self) -> None:
        """Raises ValidationError with every field that is wrong."""
        wrong: dict[str, str] = {}
        if not HOST.match(self.host):
            wrong["host"] = "Write the name or address of the mail server, as in smtp.example.org."
        if not 1 <= self.port <= 65535:
            wrong["port"] = "A port is a number from 1 to 65535."
        if self.tls not in self.Tls.values:
            wrong["tls"] = "Choose one of these."
        if self.user and self.tls == self.Tls.NONE and not _at_home(self.host):
            wrong["tls"] = "A password is not sent without TLS. Choose STARTTLS or TLS."
        if not _is_sender(self.sender):
            wrong["sender"] = "Write an address, or a name with it: Deploynaut <deploy@example.org>."
        if wrong:
            raise ValidationError({field: [words] for field, words in wrong.items()})

    def shown(self) -> dict[str, Any]:
        """What the audit trail may hold."""
        return {name: getattr(self, name) for name in ("host", "port", "tls", "user", "sender")}

    def open_password(self) -> str:
        """For the worker."""
        return secrets.opener().open(self.password, purpose=self.PURPOSE).decode() if self.password else ""


def _at_home(host: str) -> bool:
    return host in {"localhost", "127.0.0.1", "::1", "[::1]"}


def _is_sender(words: str) -> bool:
    found = SENDER.match(words)
    try:
        validate_email((found[2] or found[3]) if found else "")
    except ValidationError:
        return False
    return True


class GatewayManager(models.Manager["Gateway"]):
    """The one gateway for texts."""

    def current(self) -> Gateway | None:
        """The gateway; None while none is set up."""
        return self.first()

    def change(self, *, url: str, by: User, now: datetime) -> Gateway:
        """Set it. Raises NotAllowed, and ValidationError for the field `url`."""
        require(by, Right.SYSTEM_SETTINGS)
        try:
            kept = gateways.text_gateway(url)
        except ValidationError as error:
            raise ValidationError({"url": error.messages}) from None
        with transaction.atomic():
            before = self.select_for_update().first()
            sealed = seal(kept, purpose=Gateway.PURPOSE, field="url")
            gateway = self.model(pk=1, url=sealed, schema=gateways.schema(kept), changed_at=now, changed_by=by)
            gateway.save()
            was = {"kind": before.schema} if before else {}
            audit.record(
                "text gateway set", actor=by, subject=SYSTEM, now=now, before=was, after={"kind": gateway.schema}
            )
        return gateway

    def forget(self, *, by: User, now: datetime) -> None:
        """No texts any more. Raises NotAllowed."""
        require(by, Right.SYSTEM_SETTINGS)
        with transaction.atomic():
            before = self.first()
            if before is not None:
                before.delete()
                audit.record("text gateway removed", actor=by, subject=SYSTEM, now=now, before={"kind": before.schema})


class Gateway(models.Model):
    """How texts leave. `url` is sealed: it holds the account's secret. `schema`: the kind, for people."""

    PURPOSE = "notify:gateway:url"

    url = models.TextField()
    schema = models.CharField(max_length=30)
    changed_at = models.DateTimeField()
    changed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    objects = GatewayManager()

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=models.Q(pk=1), name="one_text_gateway")]

    def __str__(self) -> str:
        return self.schema

    def open_url(self) -> str:
        """For the worker."""
        return secrets.opener().open(self.url, purpose=self.PURPOSE).decode()


def ready() -> bool:
    """Texts can be sent: a gateway is set up, or this is the demo, which keeps them."""
    return settings.DEPLOYNAUT_DEMO or Gateway.objects.current() is not None
