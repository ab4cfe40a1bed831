"""The real way to the web: one GET to a pinned address, bounded in time and size whatever the server does."""

from __future__ import annotations

import contextlib
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore2
import httpx2

from deploynaut.engine.smoke_tests.addresses import NONE, Allowed, Resolver, pinned, system_resolver
from deploynaut.engine.smoke_tests.values import LIMIT, Answer, NoAnswer, SmokeTest

Guard = Callable[[], None]

HEADERS = {"User-Agent": "Deploynaut smoke test", "Accept-Encoding": "gzip", "Cache-Control": "no-cache"}
TLS_WORDS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself",
    19: "comes from an unknown authority",
    20: "comes from an unknown authority",
    21: "comes from an unknown authority",
    23: "has been revoked",
    62: "is for another name",
    64: "is for another address",
}


class HttpTransport:
    """Asks for pages as `Transport` promises.

    `allowed`: which addresses of private networks and of this machine may be asked; none when not given.
    `trusted`: the TLS settings to verify with; the system's authorities when not given.
    """

    def __init__(
        self,
        *,
        allowed: Allowed = NONE,
        trusted: ssl.SSLContext | None = None,
        resolve: Resolver = system_resolver,
    ) -> None:
        self._allowed, self._resolve = allowed, resolve
        self._trusted = trusted

    def get(self, test: SmokeTest, *, guard: Guard) -> Answer:
        """See `Transport.get`. The time includes name resolution, TLS and the whole body."""
        clock = _Clock(test.within, guard)
        try:
            with self._client(test, clock) as client, client.stream("GET", test.url, auth=_login(test)) as response:
                body, trouble = _body(response, clock)
                headers = {name.lower(): value for name, value in response.headers.items()}
        except NoAnswer as error:
            raise NoAnswer(error.reason, seconds=clock.passed()) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise NoAnswer(_words(error, clock), seconds=clock.passed()) from error
        return Answer(status=response.status_code, headers=headers, body=body, trouble=trouble, seconds=clock.passed())

    def _client(self, test: SmokeTest, clock: _Clock) -> httpx2.Client:
        url = httpx2.URL(test.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = pinned(url.host, port, allowed=self._allowed, resolve=self._resolve, within=clock.left())
        transport = _Pinned(self._tls(test), addresses=addresses, clock=clock)
        return httpx2.Client(
            transport=transport, headers=HEADERS, timeout=None, follow_redirects=False, trust_env=False
        )

    def _tls(self, test: SmokeTest) -> ssl.SSLContext:
        if test.verify_tls:
            return self._trusted or ssl.create_default_context()
        return httpx2.create_ssl_context(verify=False)


def _login(test: SmokeTest) -> tuple[str, str] | None:
    return (test.user, test.password.reveal() if test.password else "") if test.user else None


def _body(response: httpx2.Response, clock: _Clock) -> tuple[bytes, str]:
    """What can be had of the page, and why it is not all."""
    unpack = _Unpack(response.headers.get("content-encoding", ""))
    try:
        for data in response.iter_raw():
            unpack.take(data)
        unpack.end()
    except _Trouble as error:
        return bytes(unpack.body), str(error)
    except httpx2.HTTPError as error:
        return bytes(unpack.body), _words(error, clock)
    return bytes(unpack.body), ""


class _Trouble(Exception):
    """The body is not whole."""


class _Unpack:
    """The body as it comes, unpacked with bounds: a bomb is left alone as soon as the limit is reached."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._gzip = zlib.decompressobj(wbits=31) if self._encoding in ("gzip", "x-gzip") else None
        self._raw = 0
        self.body = bytearray()

    def take(self, data: bytes) -> None:
        self._raw += len(data)
        try:
            self.body += self._gzip.decompress(data, LIMIT + 1 - len(self.body)) if self._gzip else data
        except zlib.error as error:
            raise _Trouble("the page is not valid gzip") from error
        if len(self.body) > LIMIT or self._raw > LIMIT:
            del self.body[LIMIT:]
            raise _Trouble("the page is larger than 1 MB; test a smaller one")

    def end(self) -> None:
        if self._gzip and self._raw and not self._gzip.eof:
            raise _Trouble("the page breaks off: its gzip has no end")
        if not self._gzip and self._encoding not in ("", "identity"):
            raise _Trouble(f"the page is packed as {self._encoding[:20]!r}, which was not asked for")


def _words(error: Exception, clock: _Clock) -> str:
    """The cause for people, the same each time."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            found = TLS_WORDS.get(cause.verify_code, f"is not accepted: {cause.verify_message}")
            return f"the TLS certificate {found}"
    if isinstance(error, httpx2.TimeoutException) or clock.is_over():
        return f"no complete answer within {clock.within:g} s"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "TLS could not be set up with the server"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "the connection was refused"
    if isinstance(error, httpx2.ConnectError):
        return "no connection to the server"
    if isinstance(error, httpx2.RemoteProtocolError):
        return "the answer breaks off" if "closed" in str(error) or "disconnected" in str(error) else "not valid HTTP"
    if isinstance(error, httpx2.NetworkError):
        return "the connection broke off"
    return "the address cannot be asked"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


class _Clock:
    """The time that is left for one answer, and the guard that is asked meanwhile."""

    def __init__(self, within: float, guard: Guard) -> None:
        self.within = within
        self._guard = guard
        self._begun = time.monotonic()

    def passed(self) -> float:
        return time.monotonic() - self._begun

    def left(self) -> float:
        return max(self.within - self.passed(), 0.001)

    def is_over(self) -> bool:
        return self.passed() >= self.within

    def slice(self) -> float:
        """How long may be waited before the guard is asked again."""
        self._guard()
        if self.is_over():
            raise httpcore2.ReadTimeout(f"{self.within} s are over")
        return min(self.left(), 1.0)


class _Pinned(httpx2.HTTPTransport):
    """Connects to the given addresses alone, whatever the name would mean by now."""

    def __init__(self, tls: ssl.SSLContext, *, addresses: tuple[str, ...], clock: _Clock) -> None:
        super().__init__(verify=tls, trust_env=False)
        # The library offers no public way to hand a transport its network; tests of addresses and deadlines hold this.
        self._pool = httpcore2.ConnectionPool(ssl_context=tls, network_backend=_Network(addresses, clock))


class _Network(httpcore2.NetworkBackend):
    def __init__(self, addresses: tuple[str, ...], clock: _Clock) -> None:
        self._addresses, self._clock = addresses, clock

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError("no address")
        for address in self._addresses:
            self._clock.slice()
            try:
                stream = httpcore2.SyncBackend().connect_tcp(
                    address, port, timeout=self._clock.left(), socket_options=socket_options or ()
                )
                return _Stream(stream, self._clock)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


class _Stream(httpcore2.NetworkStream):
    """Every wait ends with the clock, not anew with each byte."""

    def __init__(self, stream: httpcore2.NetworkStream, clock: _Clock) -> None:
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            wait = self._clock.slice()
            with contextlib.suppress(httpcore2.ReadTimeout):
                return self._stream.read(max_bytes, timeout=wait)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._clock.slice()
        self._stream.write(buffer, timeout=self._clock.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        self._clock.slice()
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout=self._clock.left())
        return _Stream(stream, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
