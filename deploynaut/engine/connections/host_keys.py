"""Host keys: what a host shows, for a person to compare, and its fingerprint. Nothing is trusted here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shutil
import subprocess
from typing import NamedTuple

from deploynaut.engine.connections.base import HostUnreachable, ProgramMissing
from deploynaut.engine.connections.grammar import BadAddress, check_host, check_host_keys, check_port

_SECONDS = 15


class HostKey(NamedTuple):
    """A public key as a host shows it (`ssh-ed25519 AAAA…`), and its fingerprint (`SHA256:…`)."""

    line: str
    fingerprint: str


def fetch_host_key(address: str, port: int = 22) -> list[HostKey]:
    """The keys that answer at the address now, Ed25519 first. A person has to compare the fingerprints elsewhere.

    Raises `BadAddress`, `HostUnreachable`, `ProgramMissing`.
    """
    check_host(address)
    check_port(port)
    shown = {" ".join(line.split()[1:3]) for line in _scan(address, port).splitlines() if not line.startswith("#")}
    keys = sorted((key for key in shown if _is_key(key)), key=lambda key: (not key.startswith("ssh-ed25519"), key))
    if not keys:
        text = f"{address}:{port} shows no host key. Check the address and the port, and that sshd runs there."
        raise HostUnreachable(text, host=f"{address}:{port}")
    return [HostKey(key, fingerprint(key)) for key in keys]


def fingerprint(key_line: str) -> str:
    """`SHA256:…` of a public key line, as `ssh-keygen -l` shows it. Raises `BadAddress`."""
    words = key_line.split()
    try:
        content = base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error) as error:
        raise BadAddress(f"{key_line[:40]!r} is no public key. It must look like `ssh-ed25519 AAAA…`.") from error
    return "SHA256:" + base64.b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def program(name: str) -> str:
    """Where a program of OpenSSH is. Raises `ProgramMissing`, which names the Debian package."""
    found = shutil.which(name)
    if found is None:
        raise ProgramMissing(f"The program {name} is not installed here. Install the package openssh-client.")
    return found


def _scan(address: str, port: int) -> str:
    words = [program("ssh-keyscan"), "-T", "10", "-p", str(port), "-t", "ed25519,ecdsa,rsa", "--", address]
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    try:
        done = subprocess.run(words, capture_output=True, timeout=_SECONDS, check=False, env=environment)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout[:65536].decode("utf-8", "replace")


def _is_key(line: str) -> bool:
    try:
        return bool(line) and bool(check_host_keys(line))
    except BadAddress:
        return False
