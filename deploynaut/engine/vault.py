"""Keeps secrets: sealed texts, the master key, SSH key pairs, and files that live for one moment.

One mechanism, age. Who has the recipient can seal; only who has the identity can open. The web process is given
the recipient alone. The identity ("master key") is a file outside the database: a dump of the database gives nothing.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

MARK = b"deploynaut-seal-1"
LEFTOVER = "private-"


class VaultError(Exception):
    """Something about a secret is not as it must be. The text is for the person who runs Deploynaut."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Seals texts for one recipient (`age1…`). It cannot open what it sealed."""

    recipient: str

    def __post_init__(self) -> None:
        _recipient(self.recipient)

    @classmethod
    def from_file(cls, path: Path) -> Seal:
        """The seal of the public file beside the master key (`recipient_file(path)`)."""
        return cls(_only_line(path, what="recipient"))

    def seal(self, content: str | bytes, *, purpose: str) -> str:
        """Returns age armour (base64). `purpose`, such as `instance:12:deploy-key`, must be given again to open it."""
        plain = content.encode() if isinstance(content, str) else content
        bound = b"\n".join((MARK, _purpose(purpose), plain))
        return cast(bytes, pyrage.encrypt(bound, [_recipient(self.recipient)], armored=True)).decode("ascii")


@dataclass(frozen=True, slots=True, repr=False)
class Opener:
    """Opens what was sealed for its identity (`AGE-SECRET-KEY-1…`). Never printed."""

    identity: str

    def __post_init__(self) -> None:
        _identity(self.identity)

    def __repr__(self) -> str:
        return "Opener(***)"

    @classmethod
    def from_file(cls, path: Path) -> Opener:
        """Reads the master key. Raises MasterKeyUnusable when it is missing or anybody else may read it."""
        return cls(_read_master_key(path))

    @property
    def recipient(self) -> str:
        """The public half."""
        return str(_identity(self.identity).to_public())

    def open(self, sealed: str, *, purpose: str) -> bytes:
        """Raises CannotOpen (altered, or sealed for another key) and WrongPurpose (it belongs elsewhere)."""
        mark, bound, content = self._parts(sealed)
        if mark != MARK:
            raise CannotOpen("This sealed text was not made by Deploynaut. Enter the secret again.")
        if bound != _purpose(purpose):
            raise WrongPurpose(f"This sealed text was made for another place than {purpose}. Enter the secret again.")
        return content

    def _parts(self, sealed: str) -> tuple[bytes, bytes, bytes]:
        try:
            plain = cast(bytes, pyrage.decrypt(sealed.encode(), [_identity(self.identity)]))
            mark, bound, content = plain.split(b"\n", 2)
        except (pyrage.DecryptError, OSError, ValueError) as error:
            raise CannotOpen(
                "A sealed secret cannot be opened: it was altered, or sealed for another master key. "
                "Put the right master key back, or enter the secret again."
            ) from error
        return mark, bound, content


class CannotOpen(VaultError):
    """Sealed for another key, altered, or not ours."""


class WrongPurpose(VaultError):
    """A sealed text that was moved to another row or field."""


class BadKey(VaultError):
    """Not an age recipient or identity, or not an SSH key line."""


def _purpose(purpose: str) -> bytes:
    if not purpose or not purpose.isprintable():
        raise ValueError(f"A purpose is one printable line, such as instance:12:deploy-key; not {purpose!r}.")
    return purpose.encode()


def _recipient(text: str) -> pyrage.x25519.Recipient:
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise BadKey("The recipient is not an age recipient (age1…). Take the one beside the master key.") from error


def _identity(text: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError as error:
        raise BadKey("The master key is not an age identity (AGE-SECRET-KEY-1…). Put the right file back.") from error


class Reader(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> None: ...


def encrypt_stream(*, source: Reader, to: Writer, recipient: str) -> None:
    """Bounded memory. Raises pyrage's errors as OSError; an error of `to` arrives as OSError too, its cause lost."""
    try:
        pyrage.encrypt_io(source, to, [_recipient(recipient)])
    except pyrage.EncryptError as error:
        raise OSError(str(error)) from error


def decrypt_stream(*, source: Reader, to: Writer, identity: str) -> None:
    """Bounded memory. Everything written before CannotOpen is raised is genuine, but not complete."""
    try:
        pyrage.decrypt_io(source, to, [_identity(identity)])
    except (pyrage.DecryptError, OSError) as error:
        raise CannotOpen(f"cannot be decrypted: {error}") from error


def make_master_key(path: Path) -> str:
    """Writes a new identity (0600) and its recipient beside it (0644); returns the recipient. Never overwrites."""
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    for file, text, mode in ((path, str(identity), 0o600), (recipient_file(path), recipient, 0o644)):
        try:
            _create(file, f"{text}\n".encode(), mode=mode)
        except FileExistsError as error:
            raise MasterKeyExists(f"{file} is there already and stays: it opens what is stored.") from error
    return recipient


def recipient_file(path: Path) -> Path:
    """Where the public half of the master key at `path` is."""
    return path.with_name(f"{path.name}.pub")


def self_test(seal: Seal, opener: Opener) -> None:
    """Asked at every start. Raises VaultBroken when sealing hides nothing, or the two halves do not belong together."""
    canary = secrets.token_hex(32)
    sealed = seal.seal(canary, purpose="self-test")
    if canary in sealed or base64.b64encode(canary.encode()).decode() in sealed:
        raise VaultBroken("Sealing does not hide its content. Reinstall Deploynaut; it does not start like this.")
    if opener.recipient != seal.recipient:
        raise VaultBroken("The master key does not belong to the recipient in use. Put the right master key back.")
    if opener.open(sealed, purpose="self-test") != canary.encode():
        raise VaultBroken("A sealed text came back altered. Reinstall Deploynaut; it does not start like this.")


class MasterKeyExists(VaultError):
    """`make_master_key` was asked to overwrite."""


class MasterKeyUnusable(VaultError):
    """Missing, empty, or readable by others."""


class VaultBroken(VaultError):
    """The self-test failed: do not start."""


def _read_master_key(path: Path) -> str:
    text = _only_line(path, what="master key")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise MasterKeyUnusable(f"The master key {path} may be read by others. Do: chmod 600 {path}")
    return text


def _only_line(path: Path, *, what: str) -> str:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MasterKeyUnusable(f"The {what} {path} cannot be read: {error}. Put it back from your copy.") from error
    # `age-keygen` writes comments above the key; a file made by it is as good as ours.
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if len(keys) != 1:
        raise MasterKeyUnusable(f"The {what} {path} must hold one key, it holds {len(keys)}.")
    return keys[0]


def make_ssh_key(comment: str) -> tuple[bytes, str]:
    """A new Ed25519 pair: (private half in OpenSSH's form, public line `ssh-ed25519 AAAA… comment`)."""
    if not comment.isprintable():
        raise ValueError(f"The comment of a key is one printable line, not {comment!r}.")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    return private, f"{public} {comment}".strip()


def fingerprint(public_line: str) -> str:
    """`SHA256:…` of a public line or a known_hosts key, as `ssh-keygen -l` shows it. Raises BadKey."""
    blob = next((word for word in public_line.split() if word.startswith("AAAA")), "")
    decoded = b""
    with contextlib.suppress(ValueError):
        decoded = base64.b64decode(blob, validate=True)
    if not decoded:
        raise BadKey("This is not an SSH public key line. It looks like: ssh-ed25519 AAAA… comment")
    return "SHA256:" + base64.b64encode(hashlib.sha256(decoded).digest()).decode("ascii").rstrip("=")


@contextlib.contextmanager
def private_file(content: bytes, directory: Path) -> Iterator[Path]:
    """A file that others never could read, gone after the block. `directory` (0700) is best on a tmpfs."""
    private_directory(directory)
    path = directory / f"{LEFTOVER}{secrets.token_hex(16)}"
    held = _create(path, content, mode=0o600, hold=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(held)


def sweep(directory: Path) -> list[Path]:
    """Removes the private files that a killed process left behind; those of living processes stay."""
    return [path for path in sorted(directory.glob(f"{LEFTOVER}*")) if remove_if_left(path)]


def private_directory(directory: Path) -> None:
    """Makes it, 0700. Raises DirectoryNotPrivate when it is a link, somebody else's, or open to others."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise DirectoryNotPrivate(f"{directory} must be a directory of ours with mode 0700. Do: chmod 700 {directory}")


class DirectoryNotPrivate(VaultError):
    """Private files would not be private there."""


def _create(path: Path, content: bytes, *, mode: int, hold: bool = False) -> int:
    """Right mode from birth, on the disk, never through a link. With `hold` the open file is returned, locked."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        # The lock tells `sweep` of another process that this file is in use; it dies with us, also by kill -9.
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not os.fstat(handle).st_nlink:  # a sweep came between the two lines above
            raise InterruptedError(f"{path} was swept away at its birth. Try again.")
        os.fchmod(handle, mode)
        with open(handle, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(handle)
    except BaseException:
        path.unlink(missing_ok=True)
        os.close(handle)
        raise
    if not hold:
        os.close(handle)
    return handle


def remove_if_left(path: Path) -> bool:
    """Removes a file unless a living process holds its lock; whether it did. Never follows a link."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
