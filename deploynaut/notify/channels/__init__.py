"""The ways a message travels; one file a channel."""

from deploynaut.notify.channels.base import Channel, ChannelFailed
from deploynaut.notify.channels.email import EmailChannel

CHANNELS: dict[str, Channel] = {"email": EmailChannel()}

__all__ = ["CHANNELS", "Channel", "ChannelFailed"]
