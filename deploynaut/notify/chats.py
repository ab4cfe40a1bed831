"""Chat channels of an instance: each is told everything that people are told about its deployments."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.instances import secrets
from deploynaut.instances.models import Instance
from deploynaut.notify import gateways
from deploynaut.notify.servers import seal

MOST = 20


class ChatManager(models.Manager["Chat"]):
    """Adds and removes chats."""

    def of(self, instance: int) -> models.QuerySet[Chat]:
        """Those of an instance, by name."""
        return self.filter(instance_id=instance, removed_at=None).order_by("name", "pk")

    def add(self, *, instance: Instance, name: str, url: str, by: User, now: datetime) -> Chat:
        """A further chat. Raises NotAllowed, and ValidationError with the field's name."""
        _may(by, instance)
        name = " ".join(name.split())
        wrong = _problems(name, url)
        if wrong:
            raise ValidationError(wrong)
        with transaction.atomic():
            Instance.objects.select_for_update().get(pk=instance.pk)
            there = self.of(instance.pk)
            if there.filter(name=name).exists():
                raise ValidationError({"name": f"There is a chat called {name} already."})
            if there.count() >= MOST:
                raise ValidationError({"name": f"An instance has {MOST} chats at most. Remove one first."})
            sealed = seal(url, purpose=_purpose(instance.pk), field="url")
            kind = gateways.schema(url)
            chat = self.create(instance=instance, name=name, url=sealed, schema=kind, added_at=now, added_by=by)
            audit.record(
                "chat added", actor=by, subject=_subject(instance), now=now, after={"name": name, "kind": kind}
            )
        return chat

    def remove(self, chat: Chat, *, by: User, now: datetime) -> None:
        """Tell it nothing more; its address is forgotten. Raises NotAllowed."""
        _may(by, chat.instance)
        with transaction.atomic():
            self.filter(pk=chat.pk).update(removed_at=now, url="")
            what = {"name": chat.name, "kind": chat.schema}
            audit.record("chat removed", actor=by, subject=_subject(chat.instance), now=now, before=what)


def _may(by: User, instance: Instance) -> None:
    require(by, Right.EDIT_ENVIRONMENT, instance=instance.pk, place=instance.name)


def _subject(instance: Instance) -> audit.Subject:
    return audit.Subject("instance", instance.pk, str(instance))


def _purpose(instance: int) -> str:
    return f"notify:chat:{instance}:url"


def _problems(name: str, url: str) -> dict[str, list[str]]:
    wrong: dict[str, list[str]] = {}
    if not name or len(name) > 60 or not name.isprintable():
        wrong["name"] = ["Give it a name of at most 60 characters, as in #releases."]
    try:
        gateways.chat(url)
    except ValidationError as error:
        wrong["url"] = list(error.messages)
    return wrong


class Chat(models.Model):
    """One chat. `url` is sealed: it lets its holder write there. A removed one stays for the messages it was sent."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="chats")
    name = models.CharField(max_length=60)
    url = models.TextField(blank=True)
    schema = models.CharField(max_length=30)
    added_at = models.DateTimeField()
    added_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    removed_at = models.DateTimeField(null=True)

    objects = ChatManager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["instance", "name"], condition=models.Q(removed_at=None), name="one_chat_a_name"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def open_url(self) -> str:
        """For the worker."""
        return secrets.opener().open(self.url, purpose=_purpose(self.instance_id)).decode()
