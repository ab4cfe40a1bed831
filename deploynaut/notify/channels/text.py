"""Text messages: through the gateway that an Administrator has set up, by Apprise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from deploynaut.engine.vault import VaultError
from deploynaut.notify.channels.base import ChannelFailed, taken
from deploynaut.notify.courier import hand_over
from deploynaut.notify.servers import Gateway

if TYPE_CHECKING:
    from deploynaut.notify.models import Message

KEPT = "kept on the page of messages: the demo has no gateway"


class TextChannel:
    """One text to one number."""

    def send(self, message: Message) -> str:
        """The gateway's answer. Raises ChannelFailed."""
        if message.user is not None and message.user.verified_phone != message.address:
            raise ChannelFailed("this number is not theirs any more", final=True)
        return send_text(to=message.address, body=message.body)


def send_text(*, to: str, body: str, code: str = "") -> str:
    """A text to one number; the gateway's answer, without the `code` if it is told. Raises ChannelFailed."""
    gateway = Gateway.objects.current()
    if gateway is None:
        if settings.DEPLOYNAUT_DEMO:
            return KEPT
        raise ChannelFailed("no gateway for texts is set up any more", final=True)
    try:
        url = gateway.open_url()
    except VaultError as error:
        raise ChannelFailed(str(error)) from error
    return taken(hand_over({"by": "gateway", "url": url, "to": to, "title": "", "body": body, "code": code}))
