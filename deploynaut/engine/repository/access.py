"""What a fetch is allowed to use: one address, one key, pinned host keys, and nothing of the user or the system."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from deploynaut.engine import vault
from deploynaut.engine.repository import places
from deploynaut.engine.repository.addresses import is_local, uses_ssh
from deploynaut.engine.shell import quote


@dataclass(frozen=True, slots=True)
class Access:
    """A repository and the means to read it. The key is bound to this address: a new address needs a new Access.

    `private_key`: OpenSSH form, for addresses reached by SSH. `host_keys`: lines of a known_hosts file. `private`:
    names and networks that are not public and may be asked over https all the same.
    """

    address: str
    private_key: bytes | None = field(default=None, repr=False)
    host_keys: str = ""
    private: frozenset[str] = frozenset()

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` of the public half, as forges show it; empty without a key."""
        if self.private_key is None:
            return ""
        public = load_ssh_private_key(self.private_key, password=None).public_key()
        return vault.fingerprint(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii"))


@contextlib.contextmanager
def transport(access: Access, *, private: Path) -> Iterator[Mapping[str, str]]:
    """The environment in which git may speak to the address, and to nothing else.

    The key and host keys lie in `private` as 0600 files, gone after the block; `vault.sweep(private)` removes what
    a killed process left there. Raises BadAddress for a place that may not be asked.
    """
    if is_local(access.address):
        yield {"GIT_ALLOW_PROTOCOL": "file"}
    elif not uses_ssh(access.address):
        yield {"GIT_ALLOW_PROTOCOL": "https", **_only_there(access)}
    else:
        with contextlib.ExitStack() as files:
            hosts = files.enter_context(vault.private_file(access.host_keys.encode(), private))
            key = files.enter_context(vault.private_file(access.private_key or b"", private))
            yield {"GIT_ALLOW_PROTOCOL": "ssh", "GIT_SSH_VARIANT": "ssh", "GIT_SSH_COMMAND": _ssh(key=key, hosts=hosts)}


def _only_there(access: Access) -> dict[str, str]:
    """Git connects to the addresses that were looked at, and is led nowhere else by a redirect."""
    settings = {
        "http.curloptResolve": places.pinned(access.address, private=access.private, resolve=places.system_resolver),
        "http.followRedirects": "false",
        "http.proxy": "",
    }
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "ProxyCommand=none",
    "ControlMaster=no",
    "ControlPath=none",
    "CanonicalizeHostname=no",
    "ConnectTimeout=20",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=2",
    "LogLevel=ERROR",
)


def _ssh(*, key: Path, hosts: Path) -> str:
    """Git hands this text to a shell, so every word is quoted; all of them are ours."""
    options = (*_OPTIONS, f"UserKnownHostsFile={_ssh_path(hosts)}", f"IdentityFile={_ssh_path(key)}")
    words = ["ssh", "-F", "/dev/null", "-T", *(word for option in options for word in ("-o", option))]
    return " ".join(quote(word) for word in words)


def _ssh_path(path: Path) -> str:
    # ssh expands %-tokens in file names and splits UserKnownHostsFile at spaces.
    return '"' + str(path).replace("%", "%%") + '"'
