"""Sealing and opening of an installation's secrets. Web seals; the worker alone has what opens."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from deploynaut.engine import connections
from deploynaut.engine.vault import Opener, Seal, fingerprint, make_master_key, make_ssh_key, self_test, sweep
from deploynaut.instances.models import KeyPair
from deploynaut.runs.subjects import Work


def seal() -> Seal:
    """For every process."""
    return Seal.from_file(settings.DEPLOYNAUT_MASTER_PUB)


def opener() -> Opener:
    """For the worker: raises MasterKeyUnusable in any other process, whose user cannot read the master key."""
    return Opener.from_file(settings.DEPLOYNAUT_MASTER_KEY)


def ensure_master_key() -> None:
    """Make the master key on a new installation. It is made once: what is sealed opens with no other."""
    path = Path(settings.DEPLOYNAUT_MASTER_KEY)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_master_key(path)


def private_key(owner: str, owner_id: int) -> bytes | None:
    """The private half of an owner's key pair, opened into memory; None while it is being made."""
    pair = KeyPair.objects.filter(owner=owner, owner_id=owner_id).first()
    return opener().open(pair.sealed, purpose=pair.purpose) if pair and pair.sealed else None


def hide(work: Work, *owners: tuple[str, int]) -> None:
    """Have the log mask what this work must never show: its owners' private keys, and the installation's secrets."""
    keys = (private_key(*owner) for owner in owners)
    own = (opener().identity, settings.SECRET_KEY, settings.EMAIL_HOST_PASSWORD)
    for secret in (*(key.decode() for key in keys if key), *own):
        work.mask(secret)


def make_pair(pair: KeyPair) -> tuple[str, str, str]:
    """A new key pair: public line, fingerprint, and the sealed private half."""
    private, public = make_ssh_key(pair.name.replace(" ", "-"))
    return public, fingerprint(public), seal().seal(private, purpose=pair.purpose)


def scratch() -> Path:
    """The worker's private folder for files that live as long as one run; swept when a worker starts."""
    folder = Path(settings.DEPLOYNAUT_DATA) / "scratch"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def begin() -> None:
    """What a worker does before any work: the master key is there and works; what a killed worker left is removed.

    Raises VaultError, with which the worker does not start: secrets that open nowhere are worse than no worker.
    """
    ensure_master_key()
    self_test(seal(), opener())
    connections.sweep(scratch())
    for folder in (scratch(), *mirrors().glob("*.private")):
        sweep(folder)


def mirrors() -> Path:
    """Where the bare mirrors are, one an instance."""
    return Path(settings.DEPLOYNAUT_DATA) / "mirrors"
