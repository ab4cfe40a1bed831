"""What every channel promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from deploynaut.notify.courier import Answer

if TYPE_CHECKING:
    from deploynaut.notify.models import Message


class ChannelFailed(Exception):
    """The message was not taken; the text is the server's answer, in words.

    `perhaps`: it may have been taken all the same; `final`: another try is no use.
    """

    def __init__(self, words: str, *, perhaps: bool = False, final: bool = False) -> None:
        super().__init__(words)
        self.perhaps, self.final = perhaps, final


class Channel(Protocol):
    """One way a message travels."""

    def send(self, message: Message) -> str:
        """Hand it over and return the server's answer. Raises ChannelFailed."""
        ...


def taken(answer: Answer) -> str:
    """The words of a server that took it. Raises ChannelFailed."""
    if not answer.taken:
        raise ChannelFailed(answer.words, perhaps=answer.perhaps, final=answer.final)
    return answer.words
