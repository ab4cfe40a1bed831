"""Who gets a message by which channel, and what is said in the log about those who get an e-mail alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from deploynaut.accounts.models import User
from deploynaut.notify import gateways, servers
from deploynaut.notify.chats import Chat
from deploynaut.notify.preferences import EMAIL, TEXT, Unwanted

NO_GATEWAY = "no gateway for texts is set up"


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one address."""

    channel: str
    address: str
    user: User | None = None
    chat: Chat | None = None


@dataclass(frozen=True, slots=True)
class Letters:
    """All of them, each address once a channel; `told`: lines for the log."""

    letters: tuple[Letter, ...]
    told: tuple[str, ...]


@dataclass(slots=True)
class _Notes:
    alone: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def letters(event: str, *, to: Iterable[User], also: Iterable[str], instance: int | None) -> Letters:
    """Every message that this event brings."""
    people = list({user.pk: user for user in to if user.is_active}.values())
    off, texts = Unwanted.objects.among(people, event), servers.ready()
    notes = _Notes()
    found = [*_to_people(people, off, texts, notes), *_to_others(also, texts, notes), *_to_chats(instance)]
    once = {(letter.channel, letter.address): letter for letter in reversed(found)}
    if notes.alone:
        why = "no verified phone" if texts else NO_GATEWAY
        notes.lines.append(f"by e-mail alone to {', '.join(notes.alone)}: {why}")
    return Letters(tuple(reversed(once.values())), tuple(notes.lines))


def _to_people(people: list[User], off: set[tuple[int, str]], texts: bool, notes: _Notes) -> Iterator[Letter]:
    for user in people:
        if (user.pk, EMAIL) not in off:
            yield Letter(EMAIL, user.email, user)
        if (user.pk, TEXT) in off:
            continue
        if texts and user.verified_phone:
            yield Letter(TEXT, user.verified_phone, user)
        else:
            notes.alone.append(user.name)


def _to_others(also: Iterable[str], texts: bool, notes: _Notes) -> Iterator[Letter]:
    """What the pipeline file names. Nothing that could be two addresses, or none, is written to."""
    for words in also:
        number = gateways.phone(words)
        if _is_email(words):
            yield Letter(EMAIL, words)
        elif number and texts:
            yield Letter(TEXT, number)
        else:
            notes.lines.append(f"not sent to {words}: {NO_GATEWAY if number else 'neither an address nor a number'}")


def _is_email(words: str) -> bool:
    try:
        validate_email(words)
    except ValidationError:
        return False
    return True


def _to_chats(instance: int | None) -> Iterator[Letter]:
    if instance is not None:
        for chat in Chat.objects.of(instance):
            yield Letter("chat", chat.name, chat=chat)
