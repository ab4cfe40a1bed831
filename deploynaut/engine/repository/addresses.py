"""Which repository addresses are taken: a short grammar. What it does not know is refused, never cleaned."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

LONGEST = 500

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])"
_PORT = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_USER = r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,31})"
_NAMES = r"(?!-)(?:[A-Za-z0-9_.~+@-]|%20)+(?:/(?!-)(?:[A-Za-z0-9_.~+@-]|%20)+)*/?"

_FORMS = (
    re.compile(rf"ssh://{_USER}@{_HOST}{_PORT}/(?P<path>{_NAMES})"),
    re.compile(rf"(?P<scheme>https)://{_HOST}{_PORT}/(?P<path>{_NAMES})"),
    re.compile(rf"{_USER}@{_HOST}:(?P<path>/?{_NAMES})"),
)


def check_address(address: str, *, allow_local_below: Path | None = None) -> str:
    """The address as git may be given it. Raises BadAddress, before any process has been started.

    Taken: `ssh://user@host[:port]/path`, `user@host:path`, `https://host[:port]/path`; a path of this machine only
    below `allow_local_below`, and then the path with every link resolved comes back.
    """
    if len(address) > LONGEST:
        raise BadAddress(f"The address has {len(address)} characters; {LONGEST} is the most. Check it.")
    if address.startswith(("/", "file://")):
        return str(_local(address, allow_local_below))
    if not any(_fits(form.fullmatch(address)) for form in _FORMS):
        raise BadAddress(f"{address!r} is not an address that is taken: {_why(address)} Write {_WANTED}.")
    return address


def is_local(address: str) -> bool:
    """Whether a checked address is a path of this machine."""
    return address.startswith("/")


def uses_ssh(address: str) -> bool:
    """Whether a checked address is reached by SSH, with a key of ours."""
    return not address.startswith(("/", "https://"))


def host_of(address: str) -> str:
    """The host of a checked address in lower case; of a path of this machine, the empty text."""
    for form in _FORMS:
        if found := form.fullmatch(address):
            return found["host"].lower()
    return ""


def account_of(address: str) -> str:
    """Who is logged in where, `git@example.org`, for a person who has to enable a key there."""
    if not uses_ssh(address):
        return host_of(address) or address
    return urlsplit(address).netloc if address.startswith("ssh://") else address.partition(":")[0]


class BadAddress(ValueError):
    """The text is not an address of a repository that Deploynaut takes."""


_WANTED = "ssh://user@host/path, user@host:path or https://host/path"


def _fits(found: re.Match[str] | None) -> bool:
    if found is None or ".." in found["path"].split("/") or "." in found["path"].split("/"):
        return False
    return int(found.groupdict().get("port") or 1) <= 65535


def _local(address: str, allowed: Path | None) -> Path:
    if allowed is None:
        raise BadAddress(f"{address!r} is a path of this machine; those are not taken. Write {_WANTED}.")
    path = Path(address.removeprefix("file://"))
    if not path.is_absolute() or not address.isprintable() or ".." in path.parts:
        raise BadAddress(f"{address!r} is not a plain absolute path. Write it without `..` and control characters.")
    resolved = path.resolve()
    if not resolved.is_relative_to(allowed.resolve()):
        raise BadAddress(f"{address!r} lies outside {allowed}, the only place of this machine that is taken.")
    return resolved


def _why(address: str) -> str:
    """The first reason that helps the person; the grammar has already said no."""
    for applies, reason in _REASONS:
        if applies(address):
            return reason
    return "its host or path holds something that does not belong there."


_REASONS: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda text: not text.strip(), "it is empty."),
    (lambda text: not text.isprintable(), "it holds a control character or line break."),
    (lambda text: not text.isascii(), "it holds letters outside ASCII."),
    (lambda text: " " in text, "it holds a space."),
    (lambda text: "\\" in text, "it holds a backslash."),
    (lambda text: text.startswith("-"), "it begins with a dash."),
    (lambda text: "::" in text.partition("[")[0], "remote helpers (`ext::`, `fd::`) would run programs."),
    (lambda text: text.startswith("https://") and "@" in text.split("/")[2], "no user or password may stand in it."),
    (lambda text: "://" in text and not text.startswith(("ssh://", "https://")), "only ssh and https are spoken."),
    (lambda text: "://" not in text and "@" not in text, "it names no user and host."),
    (lambda text: "@-" in text or "//-" in text or "/-" in text or ":-" in text, "a part of it begins with a dash."),
    (lambda text: ".." in text, "it holds `..`."),
)
