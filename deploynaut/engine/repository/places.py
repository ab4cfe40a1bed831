"""Where a repository that is read over https may be: on the public network, or at a place that a setting lists.

Asked twice: of the address when it is typed, and of what its name resolves to before each fetch; git is then told to
connect to these addresses alone, so that no second answer of the resolver leads elsewhere.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Collection, Sequence
from urllib.parse import urlsplit

from deploynaut.engine.pipeline import web_addresses
from deploynaut.engine.repository.addresses import BadAddress, host_of, is_local, uses_ssh

Resolver = Callable[[str, int], Sequence[str]]
RESOLVED_WITHIN = 20.0


def check_place(address: str, *, private: Collection[str] = ()) -> None:
    """Refuse an https address that says by itself that it is not public. `private`: names and networks that may be.

    Raises BadAddress. SSH is left out: nothing is sent there before a person has confirmed the server's key.
    """
    if is_local(address) or uses_ssh(address):
        return
    host = _host(address)
    why = web_addresses.never(host) or web_addresses.inside(host)
    if why and not _listed(host, private):
        raise BadAddress(f"{host} is {why}. An administrator of the machine can list it in {SETTING}.")


SETTING = "DEPLOYNAUT_PRIVATE_REPOSITORIES"


def system_resolver(host: str, port: int) -> list[str]:
    """As the machine resolves it. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def pinned(address: str, *, private: Collection[str] = (), resolve: Resolver = system_resolver) -> str:
    """`host:port:address,address` for curl: whom git may connect to for this https address, and nobody else.

    Raises BadAddress when the name cannot be resolved, or leads to a place that is not public.
    """
    check_place(address, private=private)
    host, port = host_of(address), urlsplit(address).port or 443
    addresses = _resolved(host.strip("[]"), port, resolve)
    for one in addresses:
        plain = web_addresses.same_host(one)
        why = web_addresses.never(plain) or web_addresses.inside(plain)
        if why and not (_listed(_host(address), private) or _listed(plain, private)):
            raise BadAddress(f"{host} is {plain}, {why}: not asked. {SETTING} lists what may be.")
    return f"{host}:{port}:{','.join(f'[{one}]' if ':' in one else one for one in addresses)}"


def _host(address: str) -> str:
    """In the form that is compared; every spelling of a number is that number."""
    try:
        return web_addresses.host(address)
    except ValueError:
        return web_addresses.same_host(host_of(address))


def _listed(host: str, private: Collection[str]) -> bool:
    return any(_covers(entry, host) for entry in private)


def _covers(entry: str, host: str) -> bool:
    if "/" not in entry:
        return web_addresses.same_host(entry) == host
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _resolved(host: str, port: int, resolve: Resolver) -> list[str]:
    """The resolver of the C library knows no time limit, so a thread asks it, left behind when it hangs."""
    answers: list[Sequence[str]] = []

    def ask() -> None:
        try:
            answers.append(resolve(host, port))
        except (OSError, UnicodeError):
            answers.append(())

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(RESOLVED_WITHIN)
    if not answers or not answers[0]:
        raise BadAddress(f"The name {host} cannot be resolved. What was fetched before stays usable.")
    # A zone of an IPv6 address (`fe80::1%eth0`) is for this machine alone.
    return [str(one).partition("%")[0] for one in answers[0]]
