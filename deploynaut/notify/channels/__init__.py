"""The ways a message travels; one file a channel."""

from deploynaut.notify.channels.base import Channel, ChannelFailed
from deploynaut.notify.channels.chat import ChatChannel
from deploynaut.notify.channels.email import EmailChannel
from deploynaut.notify.channels.text import TextChannel

CHANNELS: dict[str, Channel] = {"email": EmailChannel(), "text": TextChannel(), "chat": ChatChannel()}

__all__ = ["CHANNELS", "Channel", "ChannelFailed"]
