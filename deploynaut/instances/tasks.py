"""The slow parts of setting things up are runs: keys that are made, hosts that are looked at."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploynaut.engine.repository import host_of, uses_ssh
from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.instances.models import Instance, KeyPair, Target


def begin_keys(owner: str, owner_id: int, *, name: str, lock: str, now: datetime) -> KeyPair:
    """A key pair that the worker is asked to make."""
    from deploynaut.instances.models import KeyPair

    pair = KeyPair.objects.create(owner=owner, owner_id=owner_id, name=name)
    Run.objects.begin(kind="key", subject_id=pair.pk, title=f"key {name}", lock_key=lock, steps=["make_key"], now=now)
    return pair


def begin_scan_of_repository(instance: Instance, *, now: datetime) -> Run | None:
    """Look up the host key of the repository's server; None where there is none to look up (https, the demo)."""
    if ssh_place(instance.repository) is None:
        return None
    return Run.objects.begin(
        kind="repository_scan",
        subject_id=instance.pk,
        title=f"host key of {instance}'s repository",
        lock_key=instance.repository_lock,
        steps=["scan"],
        now=now,
    )


def ssh_place(address: str) -> tuple[str, int] | None:
    """Host and port of a repository's SSH server; None for an address that is not reached by SSH."""
    if not uses_ssh(address):
        return None
    port = urlsplit(address).port if "://" in address else None
    return host_of(address), port or 22


def begin_target_run(kind: str, target: Target, *, now: datetime) -> Run:
    """`scan`, `set_up` or `check` of a target, under the environment's lock."""
    return Run.objects.begin(
        kind=f"target_{kind}",
        subject_id=target.pk,
        title=f"{kind.replace('_', ' ')} of {target} for {target.environment}",
        lock_key=target.environment.lock,
        steps=[kind],
        now=now,
    )
