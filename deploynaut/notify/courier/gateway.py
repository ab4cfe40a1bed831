"""A text or a chat message through Apprise, its plugins as they are shipped; the server's answer is listened to."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import apprise
import requests

from deploynaut.engine.smoke_tests.addresses import refusal
from deploynaut.notify.courier.answers import Told

CONNECT, READ = "5", "10"
"""Seconds that Apprise gives a server to be connected to, and for each piece of its answer."""
BODY = 300


def deliver(parcel: Mapping[str, Any]) -> Told:
    """Send the parcel by its Apprise URL; `{to}` in it is where the number goes."""
    if not parcel["allow_private"]:
        _ask_public_addresses_alone()
    service = _service(parcel)
    if service is None:
        return Told(False, "Apprise does not understand this address. Check it against Apprise's documentation.")
    with Heard() as heard:
        sent = service.notify(body=parcel["body"], title=parcel["title"], body_format=apprise.NotifyFormat.TEXT)
    if sent:
        return Told(True, heard.words or "taken")
    return Told(False, heard.words or "refused without a word", perhaps=heard.perhaps)


def _service(parcel: Mapping[str, Any]) -> apprise.NotifyBase | None:
    url = str(parcel["url"]).replace("{to}", quote(str(parcel["to"]), safe=""))
    url += f"{'&' if '?' in url else '?'}cto={CONNECT}&rto={READ}&redirect=no&verify=yes"
    asset = apprise.AppriseAsset(http_redirects=False, secure_logging=True)
    service = apprise.Apprise.instantiate(url, asset=asset)
    return service or None


class Heard:
    """Listens to every answer that `requests` brings: Apprise itself would tell yes or no."""

    def __init__(self) -> None:
        self.words, self.perhaps = "", False
        self._send = requests.Session.send

    def __enter__(self) -> Heard:
        heard = self

        def send(session: requests.Session, request: Any, **options: Any) -> requests.Response:
            return heard._asked(session, request, options)

        requests.Session.send = send  # type: ignore[method-assign,assignment]  # its name says what it takes
        return self

    def __exit__(self, *error: object) -> None:
        requests.Session.send = self._send  # type: ignore[method-assign]

    def _asked(self, session: requests.Session, request: Any, options: dict[str, Any]) -> requests.Response:
        try:
            response = self._send(session, request, **options)
        except requests.RequestException as error:
            self.words, self.perhaps = _failure(error), _may_have_arrived(error)
            raise
        body = " ".join(response.text[:BODY].split())
        self.words = f"{response.status_code} {response.reason}" + (f": {body}" if body else "")
        if after := response.headers.get("Retry-After"):
            self.words += f" (asks to wait: {after})"
        self.perhaps = False
        return response


def _failure(error: requests.RequestException) -> str:
    if isinstance(error, requests.ReadTimeout):
        return f"no answer within {READ} s"
    if isinstance(error, requests.ConnectTimeout):
        return f"not reached within {CONNECT} s"
    inner = error.args[0] if error.args else error
    reason = str(getattr(inner, "reason", inner))
    # What comes before it names the pool, the object and the address once more.
    return reason.rpartition("new connection: ")[2] or reason


def _may_have_arrived(error: requests.RequestException) -> bool:
    """Whether the request had left us: what was never connected has not arrived."""
    if isinstance(error, requests.ReadTimeout | requests.exceptions.ChunkedEncodingError):
        return True
    never = requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.ProxyError
    aborted = "Connection aborted" in str(error) or "Read timed out" in str(error)
    return isinstance(error, requests.ConnectionError) and not isinstance(error, never) and aborted


def _ask_public_addresses_alone() -> None:
    """From now on names lead to public addresses: checked where the connection is made, so a redirect is too."""
    resolve: Callable[..., Any] = socket.getaddrinfo
    ours = _proxies()

    def checked(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        found = resolve(host, port, *rest, **options)
        for entry in found:
            why = "" if (_plain(host), port) in ours else refusal(str(entry[4][0]))
            if why:
                raise OSError(f"{_plain(host)} is {entry[4][0]}, which lies inside: not asked")
        return found

    socket.getaddrinfo = checked


def _proxies() -> set[tuple[str, int | None]]:
    """The proxies that whoever runs Deploynaut has set: they may be inside."""
    names = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    urls = [urlsplit(os.environ[name]) for name in names if os.environ.get(name)]
    return {(url.hostname or "", url.port) for url in urls}


def _plain(host: Any) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
