"""Addresses of pages as people write them: what is one, whose host it names, and which hosts are nobody's web site.

What a name resolves to is asked when the test runs; here are the addresses that say it themselves, in every spelling
that a resolver would understand (`2130706433`, `0x7f.1`, `0177.0.0.1`, `[::ffff:127.0.0.1]`).
"""

from __future__ import annotations

import ipaddress
import re

from pydantic import HttpUrl, ValidationError

LONGEST = 2_000
_ADDRESS = re.compile(r"https?://(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?(?:[/?#].*)?")
_INSIDE = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_EMBEDDING = tuple(ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))
# Clouds hand out credentials there to whoever asks from inside; two of them are outside the link-local range.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)


def web_address(value: object) -> str:
    """The address of a page, as it is. Raises ValueError."""
    text = str(value)
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise ValueError("an address holds no user and no password")
    if len(text) > LONGEST or not text.isascii() or not text.isprintable() or set(text) & set(' \\"<>^`{|}'):
        raise ValueError(f"{text[:80]!r} is not a web address; write http://… or https://…, without spaces")
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a web address; write http://… or https://… and a host")
    host(text)
    return text


def host(address: str) -> str:
    """The host of an address, as it is compared: small letters, numbers in their usual form. Raises ValueError."""
    try:
        url = HttpUrl(address)
    except ValidationError as error:
        words = str(error.errors()[0]["msg"]).rpartition(", ")[2]
        raise ValueError(f"{address[:80]!r} is not a web address: {words}") from None
    if url.port == 0:
        raise ValueError(f"{address[:80]!r} is not a web address: there is no port 0")
    return same_host(url.host or "")


def same_host(name: str) -> str:
    """A host's name or number in the one form that is compared."""
    name = name.strip().strip("[]").rstrip(".").lower()
    try:
        return str(_meant(ipaddress.ip_address(name)))
    except ValueError:
        return name


def never(name: str) -> str:
    """Why no smoke test may ask this host, whatever the environment says; empty when one may."""
    address = _number(name)
    if address is None:
        return ""
    if address.is_link_local or address in _METADATA:
        return "an address of the machine's own network or cloud"
    zero = address.version == 4 and address.packed[0] == 0
    odd = address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback)
    return "not an address of a web server" if odd or zero else ""


def inside(name: str) -> str:
    """Why this host is no public one, in words; empty for what only the resolver can tell."""
    address = _number(name)
    if address is not None:
        if address.is_loopback:
            return "this machine"
        return "" if address.is_global else "a private address"
    if name == "localhost" or name.endswith(".localhost"):
        return "this machine"
    return "a name of a private network" if "." not in name or name.endswith(_INSIDE) else ""


def _number(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return _meant(ipaddress.ip_address(name))
    except ValueError:
        return None


def _meant(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address inside an IPv6 one, where a gateway or the kernel would go there."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.packed[:15] != bytes(15) and any(address in network for network in _EMBEDDING):
        inner = ipaddress.IPv4Address(address.packed[12:])
    return inner or address
