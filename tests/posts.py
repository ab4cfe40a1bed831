"""What tests of messages share: servers that are set up, phones that are verified, a courier that needs no process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from django.conf import settings

from deploynaut.accounts.models import User
from deploynaut.accounts.roles import Role
from deploynaut.instances.secrets import ensure_master_key
from deploynaut.notify.courier import Answer, gateway
from deploynaut.notify.courier.__main__ import _deliver
from deploynaut.notify.models import Gateway, MailServer
from tests.builders import NOW, make_user
from tests.sinks import MailSink, WebSink


def phone_of(name: str) -> str:
    """One number a name."""
    return f"+6421{sum(ord(c) * (i + 1) for i, c in enumerate(name)):07d}"


def with_phone(*users: User) -> None:
    """Their numbers are written down and verified."""
    for user in users:
        user.introduce(name=user.name, phone=phone_of(user.name), now=NOW)
        user.take_phone(now=NOW)


def administrator() -> User:
    """Ada."""
    return User.objects.filter(email="ada@acme.example").first() or make_user("Ada", Role.ADMINISTRATOR)


def use_gateway(sink: WebSink) -> None:
    """Texts go there."""
    settings.DEPLOYNAUT_PRIVATE_GATEWAYS = True
    ensure_master_key()
    Gateway.objects.change(url=sink.url, by=administrator(), now=NOW)


def use_mail(sink: MailSink, **fields: Any) -> None:
    """Mail goes there."""
    ensure_master_key()
    usual = {"host": "127.0.0.1", "port": sink.port, "tls": "none", "user": "", "sender": "deploy@acme.example"}
    MailServer.objects.change(by=administrator(), now=NOW, **{**usual, **fields})


@contextlib.contextmanager
def quick_courier(*, read: str = "10") -> Iterator[None]:
    """The courier in this process: the same code and the same servers, a tenth of the time. `read`: its patience."""

    def hand_over(parcel: dict[str, Any], **_: Any) -> Answer:
        return Answer(**_deliver({**parcel, "allow_private": True}))

    places = [f"deploynaut.notify.channels.{name}.hand_over" for name in ("email", "text", "chat")]
    with contextlib.ExitStack() as stack:
        for place in places:
            stack.enter_context(mock.patch(place, hand_over))
        stack.enter_context(mock.patch.object(gateway, "READ", read))
        yield
