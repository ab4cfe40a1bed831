"""A chat of an instance, by Apprise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploynaut.engine.vault import VaultError
from deploynaut.notify.channels.base import ChannelFailed, taken
from deploynaut.notify.chats import Chat
from deploynaut.notify.courier import hand_over

if TYPE_CHECKING:
    from deploynaut.notify.models import Message


class ChatChannel:
    """One message into one chat."""

    def send(self, message: Message) -> str:
        """The server's answer. Raises ChannelFailed."""
        assert message.chat is not None
        return send_chat(message.chat, title=message.subject, body=message.body)


def send_chat(chat: Chat, *, title: str, body: str) -> str:
    """A message into a chat; the server's answer. Raises ChannelFailed."""
    if chat.removed_at is not None:
        raise ChannelFailed("this chat was removed", final=True)
    try:
        url = chat.open_url()
    except VaultError as error:
        raise ChannelFailed(str(error)) from error
    return taken(hand_over({"by": "gateway", "url": url, "to": "", "title": title, "body": body}))
