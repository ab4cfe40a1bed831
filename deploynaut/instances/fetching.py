"""Fetch latest changes: the verb behind the button, and what the worker does."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.engine.repository import Access, Mirror
from deploynaut.instances import secrets
from deploynaut.instances.managers import local_repositories, ssh_place
from deploynaut.instances.models import Instance
from deploynaut.runs.models import Run


class AlreadyFetching(Exception):
    """A fetch of this repository has not ended; the text says so."""


def begin_fetch(instance: Instance, *, by: User | None, now: datetime) -> Run:
    """Have the worker fetch the repository. `by` None: the demo's own set-up.

    Raises NotAllowed, AlreadyFetching.
    """
    if by is not None:
        require(by, Right.FETCH, instance=instance.pk, place=instance.name)
    with transaction.atomic():
        Instance.objects.select_for_update().get(pk=instance.pk)
        if (running := latest_fetch(instance)) is not None and not running.ended:
            raise AlreadyFetching(f"The changes of {instance} are being fetched already.")
        run = Run.objects.begin(
            kind="fetch",
            subject_id=instance.pk,
            title=f"fetch of {instance}",
            lock_key=instance.repository_lock,
            steps=["fetch"],
            now=now,
        )
        subject = audit.Subject("instance", instance.pk, str(instance))
        audit.record("fetch begun", actor=by, subject=subject, now=now)
    return run


def latest_fetch(instance: Instance) -> Run | None:
    """The newest fetch, running or ended."""
    return Run.objects.newest("fetch", instance.pk)


def mirror_of(instance: Instance) -> Mirror:
    """The instance's bare mirror, reached with its own deploy key. For the worker."""
    access = Access(
        address=instance.repository,
        private_key=secrets.private_key("instance", instance.pk),
        host_keys=_known_host(instance),
        private=frozenset(settings.DEPLOYNAUT_PRIVATE_REPOSITORIES),
    )
    return Mirror(secrets.mirrors() / str(instance.pk), access=access, allow_local_below=local_repositories())


def _known_host(instance: Instance) -> str:
    """The pinned key as a line of a known_hosts file; empty while nobody has confirmed one."""
    place = ssh_place(instance.repository)
    if place is None or not instance.repository_host_key:
        return ""
    host, port = place[0].strip("[]"), place[1]
    name = host if port == 22 else f"[{host}]:{port}"
    return f"{name} {instance.repository_host_key}\n"
