"""Sends one message of the outbox. Called by the worker; a message that cannot be sent waits for its next try."""

from __future__ import annotations

import logging

from django.db import transaction

from deploynaut.durable import port
from deploynaut.notify.channels import CHANNELS, ChannelFailed
from deploynaut.notify.models import Message
from deploynaut.runs.models import LogChunk

logger = logging.getLogger(__name__)


def send(message_id: int) -> None:
    """Send the message if it is due. At least once: a crash after the server took it sends it again."""
    message = Message.objects.select_related("run").get(pk=message_id)
    now = port.now()
    if message.status != Message.Status.WAITING or message.next_try_at > now:
        return
    try:
        answer = CHANNELS[message.channel].send(message)
    except ChannelFailed as error:
        _write(message, f"could not be sent to {message.address}: {error}", failed=str(error))
        return
    _write(message, f"sent to {message.address}: {answer}", answer=answer)


def _write(message: Message, words: str, *, answer: str = "", failed: str = "") -> None:
    now = port.now()
    with transaction.atomic():
        if failed:
            message.failed(reason=failed, now=now)
        else:
            message.sent(answer=answer, now=now)
        LogChunk.objects.note(message.run, f"message ({message.event}) {words}", now=now)
