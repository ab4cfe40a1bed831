"""Which addresses Deploynaut may be sent to: resolved once, every one of them checked, then pinned."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from deploynaut.engine.smoke_tests.values import NoAnswer

Resolver = Callable[[str, int], Sequence[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Clouds hand out credentials there to whoever asks from inside; two of them are outside the link-local range.
METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
_NOT_LISTED = "and not among the environment's hosts"
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
_EMBEDDING = tuple(ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))


@dataclass(frozen=True, slots=True)
class Allowed:
    """Whom smoke tests may ask beside the public web: names of hosts, addresses, networks. `private`: all of them.

    Link-local addresses, where clouds hand out credentials, are asked only when that very address is listed.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    private: bool = False

    @classmethod
    def of(cls, hosts: Iterable[str]) -> Allowed:
        """From the list of an environment. A name allows whatever private address it has; anything else is itself."""
        names, networks = set[str](), list[Network]()
        for host in hosts:
            try:
                networks.append(ipaddress.ip_network(host.strip("[]"), strict=False))
            except ValueError:
                names.add(_plain(host))
        return cls(frozenset(names), tuple(networks))

    def takes(self, host: str, address: Address) -> bool:
        """Whether this private address of this host may be asked."""
        return self.private or _plain(host) in self.names or any(_holds(network, address) for network in self.networks)

    def names_the_address(self, address: Address) -> bool:
        """Whether it is listed by itself, not as one of a network."""
        return any(network.num_addresses == 1 and _holds(network, address) for network in self.networks)


ALL = Allowed(private=True)
NONE = Allowed()


def pinned(host: str, port: int, *, allowed: Allowed, resolve: Resolver, within: float) -> tuple[str, ...]:
    """The addresses to connect to, and no others. Raises NoAnswer when the host has none, or one that is refused."""
    addresses = _resolved(host, port, resolve=resolve, within=within)
    for address in addresses:
        why = refusal(address, allowed=allowed, host=host)
        if why:
            raise NoAnswer(f"{host} is {address}, {why}: not asked")
    return addresses


def refusal(address: str, *, allowed: Allowed = NONE, host: str = "") -> str:
    """Why this address is not asked, in words; empty when it may be."""
    found = _meant(ipaddress.ip_address(address))
    if found in METADATA or found.is_link_local:
        return "" if allowed.names_the_address(found) else "an address of the machine's own network or cloud"
    if found.is_loopback:
        return "" if allowed.takes(host, found) else f"this machine, {_NOT_LISTED}"
    if found.is_multicast or found.is_reserved or found.is_unspecified or found in _THIS_NETWORK:
        return "not an address of a web server"
    return "" if found.is_global or allowed.takes(host, found) else f"a private address, {_NOT_LISTED}"


def system_resolver(host: str, port: int) -> list[str]:
    """As the machine resolves it. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _resolved(host: str, port: int, *, resolve: Resolver, within: float) -> tuple[str, ...]:
    """The resolver of the C library knows no time limit, so a thread asks it, left behind when it hangs."""
    answers: list[Sequence[str] | Exception] = []

    def ask() -> None:
        try:
            answers.append(resolve(host, port))
        except (OSError, UnicodeError) as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(within)
    if not answers:
        raise NoAnswer(f"the name {host} was not resolved in time")
    if isinstance(answers[0], Exception) or not answers[0]:
        raise NoAnswer(f"the name {host} cannot be resolved")
    return tuple(answers[0])


def _plain(host: str) -> str:
    return host.strip("[]").lower().removesuffix(".")


def _holds(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _meant(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where a gateway or the kernel would go there."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.packed[:15] != bytes(15) and any(address in network for network in _EMBEDDING):
        inner = ipaddress.IPv4Address(address.packed[12:])
    return inner or address
