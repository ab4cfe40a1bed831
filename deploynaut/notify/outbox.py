"""Sends one message of the outbox. Called by the worker; a message that cannot be sent waits for its next try."""

from __future__ import annotations

from django.db import transaction

from deploynaut.durable import port
from deploynaut.notify.channels import CHANNELS, ChannelFailed
from deploynaut.notify.models import Message
from deploynaut.runs.models import LogChunk


def send(message_id: int) -> None:
    """Send the message if it is due. At least once: a crash after the server took it sends it again."""
    message = Message.objects.select_related("run", "user", "chat").get(pk=message_id)
    if not message.take(now=port.now()):
        return
    where = f"{message.get_channel_display()} to {_name(message)}{message.place}"
    try:
        answer = message.told(CHANNELS[message.channel].send(message))
    except ChannelFailed as error:
        _failed(message, where, error)
    else:
        with transaction.atomic():
            message.sent(answer=answer, now=port.now())
            _note(message, f"{where} sent: {answer}")


def _name(message: Message) -> str:
    """Whose number it is; an address says that by itself."""
    return f"{message.user.name}, " if message.user and message.channel == Message.Channel.TEXT else ""


def _failed(message: Message, where: str, error: ChannelFailed) -> None:
    said = message.told(str(error))
    with transaction.atomic():
        message.failed(reason=said, now=port.now(), perhaps=error.perhaps, final=error.final)
        given_up = message.status == Message.Status.GIVEN_UP
        after = _given_up(message, error) if given_up else f"next try at {message.next_try_at:%H:%M:%S}"
        _note(message, f"{where} could not be sent: {said}; {after}")


def _given_up(message: Message, error: ChannelFailed) -> str:
    arrived = ", it may have arrived" if error.perhaps else ""
    return f"given up{arrived}" if message.stands_alone else f"given up{arrived}, the e-mail stands alone"


def _note(message: Message, words: str) -> None:
    LogChunk.objects.note(message.run, f"message ({message.event}): {words}", now=port.now())
