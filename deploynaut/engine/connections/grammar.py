"""Which addresses, users, ports and paths may name a target. Anything else is refused, never cleaned."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_PATH = re.compile(r"[\w.@+=:,~ -]+")
_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) [A-Za-z0-9+/]{40,1400}={0,2}")

LONGEST_PATH = 1024


class BadAddress(ValueError):
    """A host, user, port, path or host key is not of the form that is allowed; the text says what is."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where a target is and the key it must show: lines `ssh-ed25519 AAAA…`; two lines while a key is being changed."""

    address: str
    port: int
    user: str
    host_key: str

    def __post_init__(self) -> None:
        check_host(self.address)
        check_port(self.port)
        check_user(self.user)
        check_host_keys(self.host_key)

    @property
    def name(self) -> str:
        """`web1.example:22`, what people call the host."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def check_host(address: str) -> str:
    """The address itself when it is a host name or an IP address. Raises `BadAddress`."""
    labels = address.split(".")
    if _is_ip(address) or (len(address) <= 253 and all(_LABEL.fullmatch(label) for label in labels)):
        return address
    raise BadAddress(f"{address!r} is no host name and no IP address. A host name is letters, digits, dots and dashes.")


def check_port(port: int) -> int:
    """The port itself when it is one. Raises `BadAddress`."""
    if type(port) is int and 0 < port < 65536:
        return port
    raise BadAddress(f"{port!r} is no port. A port is a number from 1 to 65535.")


def check_user(user: str) -> str:
    """The user itself when it can be a user's name. Raises `BadAddress`."""
    if _USER.fullmatch(user):
        return user
    raise BadAddress(f"{user!r} is no user name: letters, digits, `_`, `.` and `-`, beginning with a letter.")


def check_path(path: str) -> str:
    """The path itself when it is absolute and plain: no `..`, no control characters, no quotes. Raises `BadAddress`."""
    parts = path.split("/")[1:]
    plain = all(_PATH.fullmatch(part) and part not in (".", "..") and not part.startswith("-") for part in parts)
    if path.startswith("/") and plain and path.isprintable() and len(path.encode("utf-8", "replace")) <= LONGEST_PATH:
        return path
    raise BadAddress(
        f"{path!r} is no path that can be used. It must begin with `/` and hold letters, digits and `. _ - @ + = : , ~`"
        " only, without `..` and without a `/` at the end."
    )


def check_host_keys(lines: str) -> str:
    """The lines themselves when each is a public host key (`ssh-ed25519 AAAA…`) or there is none."""
    for line in lines.splitlines():
        if line.strip() and not _KEY.fullmatch(" ".join(line.split()[:2])):
            raise BadAddress(f"{line[:40]!r} is no host key. It must look like `ssh-ed25519 AAAA…`.")
    return lines


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return "%" not in address
