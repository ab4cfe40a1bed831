"""A public key as a page shows it, and the steps by which each forge enables it."""

from __future__ import annotations

from dataclasses import dataclass

from deploynaut.engine.vault import fingerprint
from deploynaut.instances.models import Instance, KeyPair, Target


@dataclass(frozen=True, slots=True)
class Forge:
    """Where a deploy key is enabled, step by step. `note`: what this forge does not allow."""

    name: str
    steps: tuple[str, ...]
    note: str = ""


FORGES = (
    Forge(
        "GitLab",
        (
            "Open the project, then Settings → Repository → Deploy keys.",
            "If the key is listed under “Privately accessible deploy keys”, press Enable next to it.",
            "Otherwise choose “Add new key”, paste the key, and leave “Grant write permissions” off.",
            "Do the same in each private module's project.",
        ),
        "You see deploy keys only as an owner or maintainer of the project.",
    ),
    Forge(
        "GitHub",
        (
            "Open the repository, then Settings → Deploy keys → Add deploy key.",
            "Paste the key and leave “Allow write access” off.",
        ),
        "GitHub takes a deploy key on one repository only. With private modules, add the key to a machine user that "
        "may read all of them.",
    ),
    Forge(
        "Bitbucket",
        (
            "Open the repository, then Repository settings → Access keys → Add key.",
            "Paste the key; it can read, not write.",
        ),
    ),
    Forge(
        "Gitea",
        (
            "Open the repository, then Settings → Deploy Keys → Add Deploy Key.",
            "Paste the key and leave “Enable Write Access” off.",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key that a host shows: its kind and the fingerprint that people compare."""

    kind: str
    fingerprint: str


def seen(lines: str) -> list[HostKey]:
    """The host keys in stored lines `type base64`; a line that is none is left out."""
    return [key for line in lines.splitlines() if (key := _host_key(line)) is not None]


def _host_key(line: str) -> HostKey | None:
    try:
        return HostKey(kind=_kind(line), fingerprint=fingerprint(line))
    except (ValueError, IndexError):
        return None


def _kind(line: str) -> str:
    return line.split()[0].removeprefix("ssh-").upper()


def of_instance(instance: Instance) -> KeyPair | None:
    """The deploy key; its public half is empty while the worker makes it."""
    return KeyPair.objects.filter(owner=KeyPair.Owner.INSTANCE, owner_id=instance.pk).first()


def of_environment(environment: int) -> KeyPair | None:
    """The key by which the environment's hosts are reached."""
    return KeyPair.objects.filter(owner=KeyPair.Owner.ENVIRONMENT, owner_id=environment).first()


def shown_by(target: Target) -> list[HostKey]:
    """The keys that a target has shown and nobody has confirmed yet."""
    return [] if target.host_key else seen(target.host_key_seen)
