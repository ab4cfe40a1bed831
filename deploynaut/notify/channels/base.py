"""What every channel promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from deploynaut.notify.models import Message


class ChannelFailed(Exception):
    """The message was not taken; the text is the server's answer, in words."""


class Channel(Protocol):
    """One way a message travels."""

    def send(self, message: Message) -> str:
        """Hand it over and return the server's answer. Raises ChannelFailed."""
        ...
