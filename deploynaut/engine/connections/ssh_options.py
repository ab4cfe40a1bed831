"""What ssh is told: no setting of this machine counts, only the pinned key may answer, and only our key is shown."""

from __future__ import annotations

import os
from pathlib import Path

from deploynaut.engine.connections.grammar import Host
from deploynaut.engine.connections.host_keys import program

_ALIAS = "target"
_OPTIONS = (
    "AddKeysToAgent=no",
    "BatchMode=yes",
    "CanonicalizeHostname=no",
    "CheckHostIP=no",
    "ClearAllForwardings=yes",
    "Compression=no",
    "ConnectionAttempts=1",
    "ConnectTimeout=10",
    "ControlPersist=no",
    "EnableSSHKeysign=no",
    "EscapeChar=none",
    "ForwardAgent=no",
    "ForwardX11=no",
    "GlobalKnownHostsFile=/dev/null",
    "GSSAPIAuthentication=no",
    "HostbasedAuthentication=no",
    f"HostKeyAlias={_ALIAS}",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "KbdInteractiveAuthentication=no",
    "KexAlgorithms=^curve25519-sha256,curve25519-sha256@libssh.org",
    "LogLevel=INFO",
    "NoHostAuthenticationForLocalhost=no",
    "PasswordAuthentication=no",
    "PermitLocalCommand=no",
    "PreferredAuthentications=publickey",
    "PubkeyAuthentication=yes",
    "RequestTTY=no",
    "ServerAliveCountMax=4",
    "ServerAliveInterval=5",
    "StrictHostKeyChecking=yes",
    "Tunnel=no",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
)

_MUX_OPTIONS = ("BatchMode=yes", "ControlMaster=no", "EscapeChar=none", "LogLevel=ERROR", "ProxyCommand=false")

_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


def master_words(host: Host, room: Path) -> list[str]:
    """The command line that logs in; the private key is its input, which has no name."""
    options = (
        *_OPTIONS,
        f"HostKeyAlgorithms={','.join(_algorithms(host.host_key))}",
        f"UserKnownHostsFile={room / 'k'}",
        "IdentityFile=/dev/stdin",
    )
    place = ["-l", host.user, "-p", str(host.port), "--", host.address]
    return [program("ssh"), "-F", "/dev/null", "-M", "-N", "-T", "-S", str(socket_in(room)), *_worded(options), *place]


def channel_words(room: Path, command: str) -> list[str]:
    """The command line that has a logged-in master execute `command`. It never opens a connection of its own."""
    words = [program("ssh"), "-F", "/dev/null", "-T", "-S", str(socket_in(room)), *_worded(_MUX_OPTIONS)]
    return [*words, "--", _ALIAS, command]


def known_hosts(host: Host) -> str:
    """The only host keys that ssh knows: the pinned ones, under a name that no look-up can change."""
    return "".join(f"{_ALIAS} {line}\n" for line in host.host_key.splitlines() if line.strip())


def socket_in(room: Path) -> Path:
    """Where the master listens for channels as soon as it is logged in."""
    return room / "c"


def clean_environment() -> dict[str, str]:
    """What ssh sees of ours: no agent, no display, no home with a configuration in it."""
    return {"PATH": os.defpath, "LC_ALL": "C", "HOME": "/nonexistent"}


def _algorithms(host_key: str) -> list[str]:
    """The signatures that a pinned key can give; a host that offers none of them has another key."""
    kinds = dict.fromkeys(line.split()[0] for line in host_key.splitlines() if line.strip())
    return [signature for kind in kinds for signature in _SIGNATURES.get(kind, (kind,))]


def _worded(options: tuple[str, ...]) -> list[str]:
    return [word for option in options for word in ("-o", option)]
