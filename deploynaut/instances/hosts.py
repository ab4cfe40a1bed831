"""Hosts that smoke tests may ask beside the environment's own: names, addresses, and networks as `10.1.2.0/24`."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from deploynaut.engine.connections.grammar import check_host

MOST = 50
WIDEST = {4: 16, 6: 48}
"""The shortest prefix that is taken: a list that allows everything guards nothing."""


def check_hosts(hosts: object) -> list[str]:
    """The list in lower case, each once, in order. Raises ValidationError at `hosts` with the entry it is about."""
    if not isinstance(hosts, list) or not all(isinstance(one, str) for one in hosts):
        raise ValidationError({"hosts": "The hosts are a list of names and addresses."})
    if len(hosts) > MOST:
        raise ValidationError({"hosts": f"There are {len(hosts)} hosts; {MOST} is the most."})
    wrong = [words for one in hosts if (words := _wrong(one))]
    if wrong:
        raise ValidationError({"hosts": wrong})
    return list(dict.fromkeys(_plain(one) for one in hosts))


def host_of(url: str) -> str:
    """The host of an address of the web, in lower case; empty when it has none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def allowed(url: str, hosts: Iterable[str]) -> frozenset[str]:
    """What smoke tests may ask: the host of the environment's own address, and the list."""
    return frozenset({host_of(url), *hosts} - {""})


def _plain(host: str) -> str:
    return str(ip_network(host)) if "/" in host else host.lower().removesuffix(".")


def _wrong(host: str) -> str:
    """Why an entry cannot be taken; empty when it can."""
    try:
        if "/" not in host:
            check_host(host.removesuffix("."))
        network = ip_network(host) if "/" in host else _single(host)
    except ValueError as error:
        return f"{host[:100]!r} cannot be taken: {error}"
    if network is not None and (network.is_link_local or network.is_multicast or network.is_unspecified):
        return f"{host[:100]!r} cannot be taken: nothing that serves a site has such an address."
    if network is not None and network.prefixlen < WIDEST[network.version]:
        return f"{host[:100]!r} is too wide: /{WIDEST[network.version]} is the widest network that is taken."
    return ""


def _single(host: str) -> IPv4Network | IPv6Network | None:
    """The address as a network of its own; None for a name."""
    try:
        return ip_network(ip_address(host))
    except ValueError:
        if host.rpartition(".")[2].isdigit():
            raise ValueError("an address in numbers is written in full, such as 192.0.2.7.") from None
        return None
