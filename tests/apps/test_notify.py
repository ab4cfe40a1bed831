"""The outbox: a message is a row first, sent by the worker, tried again, and never lost in silence."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Sink
from pytest_django import Settings

from deploynaut.durable.inline import InlineEngine, inline_engine
from deploynaut.notify.models import RETRY, Message
from deploynaut.notify.outbox import send
from deploynaut.runs.models import LogChunk
from tests.builders import NOW, make_deployment, make_environment, make_user

pytestmark = pytest.mark.django_db


class Mailbox(Sink):
    """A mail server on loopback that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(EmailMessage)
        self.received: list[EmailMessage] = []

    def handle_message(self, message: EmailMessage) -> None:  # type: ignore[override]
        self.received.append(message)


@pytest.fixture
def engine() -> Iterator[InlineEngine]:
    with inline_engine(now=NOW, automatic=False) as inline:
        yield inline


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    yield box
    server.stop()


def test_a_message_reaches_a_real_mail_server_once(engine: InlineEngine, mailbox: Mailbox) -> None:
    deployment = make_deployment(at="succeeded")
    engine.run_due(NOW + timedelta(minutes=5))
    message = Message.objects.get()
    (mail,) = mailbox.received
    assert mail["To"] == deployment.initiator.email and mail["Message-ID"] == f"<deploynaut-{message.pk}@deploynaut>"
    assert "is live on uat" in mail["Subject"] and deployment.get_absolute_url() in mail.get_payload()
    assert message.status == "sent" and message.result == "250 OK"
    send(message.pk)
    assert len(mailbox.received) == 1, "a wake that comes twice sends nothing twice"
    log = "".join(LogChunk.objects.filter(run=deployment.run).values_list("text", flat=True))
    assert f"e-mail to {deployment.initiator.email} sent: 250 OK" in log


def test_a_message_that_is_not_taken_is_tried_again_and_then_given_up(engine: InlineEngine, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    make_deployment(at="succeeded")
    now = NOW + timedelta(minutes=1)
    engine.run_due(now)
    message = Message.objects.get()
    assert (message.status, message.attempts) == ("waiting", 1)
    assert message.next_try_at == now + timedelta(seconds=RETRY[0]) and "refused" in message.result
    for wait in RETRY:
        now += timedelta(seconds=wait + 1)
        engine.run_due(now)
    message.refresh_from_db()
    assert message.status == "given up" and message.attempts == len(RETRY) + 1


def test_a_name_cannot_add_lines_to_a_mail_or_an_addressee(engine: InlineEngine, mailbox: Mailbox) -> None:
    deployment = make_deployment(at="succeeded")
    engine.forget()
    person = make_user("Ann")
    Message.objects.queue(
        run=deployment.run, event="succeeded", to=[person, person],
        subject="Hello\r\nBcc: evil@example.org", body="text", now=NOW,
    )  # fmt: skip
    engine.run_due(NOW + timedelta(seconds=1))
    (mail,) = mailbox.received
    assert mail["Bcc"] is None and mail["To"] == "ann@acme.example"


def test_who_is_disabled_is_told_nothing(engine: InlineEngine) -> None:
    deployment = make_deployment()
    person = make_user("Ann")
    person.disable(by=None, now=NOW)
    assert not Message.objects.queue(run=deployment.run, event="x", to=[person], subject="s", body="b", now=NOW)


def test_the_pipeline_file_adds_addresses_for_an_event(engine: InlineEngine) -> None:
    pipeline = 'notify:\n  succeeded: [boss@acme.example, rob@acme.example, "+64 21 555 000"]\n'
    make_deployment(make_environment(pipeline=pipeline), at="succeeded")
    assert sorted(Message.objects.values_list("address", flat=True)) == ["boss@acme.example", "rob@acme.example"]
