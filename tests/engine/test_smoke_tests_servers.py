"""Smoke tests against a real server on loopback that behaves in many ways (RF16), over real TLS, to real addresses."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploynaut.engine.shell import Secret
from deploynaut.engine.smoke_tests import ALL, Allowed, Finding, HttpTransport, NoAnswer, SmokeTest, probe
from deploynaut.engine.smoke_tests.addresses import refusal

Talk = Callable[[socket.socket], None]


def said(status: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


def page(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    return said(status, f"Content-Length: {len(body)}", *headers, body=body)


def answers(data: bytes) -> Talk:
    return lambda connection: connection.sendall(data)


def drips(head: bytes, drop: bytes) -> Talk:
    """One drop after the other until the client goes away."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            connection.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                connection.recv(1)

    return talk


def floods(head: bytes, block: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(block)

    return talk


def hears_only(connection: socket.socket) -> None:
    connection.recv(1)


class Server:
    """Serves one behaviour a connection, each in its thread, on 127.0.0.1."""

    def __init__(self, talk: Talk, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._talk, self._tls = talk, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread, which would take one more
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self.requests.append(connection.recv(65536))
            self._talk(connection)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serving(talk: Talk, *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(talk, tls=tls)
    try:
        yield server
    finally:
        server.close()


def ask(url: str, *, transport: HttpTransport | None = None, **values: object) -> Finding:
    given = {"name": "home", "url": url, "within": 5.0, "delay": 0, **values}
    return probe(
        SmokeTest(**given),  # type: ignore[arg-type]
        transport=transport or HttpTransport(allowed=ALL),
        guard=lambda: None,
        sleep=lambda seconds: None,
    )


BIG = page(b"x" * (2 << 20))
BOMB = gzip.compress(b"\0" * (20 << 20), 1)
SCREEN = "X-Deploynaut-Maintenance: 1"

BEHAVIOURS: dict[str, tuple[Talk, dict[str, object], str]] = {
    "a page": (answers(page(b"Welcome")), {"contains": "Welcome"}, ""),
    "a page in gzip": (answers(page(gzip.compress(b"Welcome"), "Content-Encoding: gzip")), {"contains": "Welcome"}, ""),
    "a page in chunks": (
        answers(said("200 OK", "Transfer-Encoding: chunked", body=b"7\r\nWelcome\r\n0\r\n\r\n")),
        {"contains": "Welcome"},
        "",
    ),
    "an error": (answers(page(b"", status="500 Oh")), {}, "answered 500, expected 200"),
    "an old page": (answers(page(b"release 41")), {"contains": "release 42"}, "does not contain “release 42”"),
    "a redirect": (
        answers(page(b"", "Location: https://other.example/", status="302 Found")),
        {},
        "answered 302 to https://other.example/, expected 200",
    ),
    "a redirect to itself": (
        answers(page(b"", "Location: /", status="302 Found")),
        {"status": 302, "redirect": "/login"},
        "redirects to /, expected",
    ),
    "a redirect to nowhere": (answers(page(b"", status="302 Found")), {"status": 302, "redirect": "/login"}, "nowhere"),
    "a page that is not there": (answers(page(b"", status="404 No")), {}, "answered 404, expected 200"),
    "a page that is forbidden": (answers(page(b"", status="403 No")), {}, "answered 403, expected 200"),
    "no page at all": (answers(said("204 No Content")), {}, "answered 204, expected 200"),
    "an error that only a proxy knows": (answers(page(b"", status="520 Oh")), {}, "answered 520, expected 200"),
    "a redirect to a file": (
        answers(page(b"", "Location: file:///etc/passwd", status="302 Found")),
        {"status": 302, "redirect": "/login"},
        "redirects to file:///etc/passwd, expected",
    ),
    "our screen": (answers(page(b"", SCREEN, status="503 Soon")), {}, "our maintenance screen is up"),
    "our screen where 503 is right": (
        answers(page(b"", SCREEN, status="503 Soon")),
        {"status": 503},
        "our maintenance screen is up",
    ),
    "a screen of somebody else": (answers(page(b"", status="503 Soon")), {}, "answered 503, expected 200"),
    "headers a byte at a time": (drips(b"HTTP/1.1 200 OK\r\nX: ", b"x"), {"within": 0.4}, "within 0.4 s"),
    "a body a byte at a time": (
        drips(said("200 OK", "Content-Length: 99999"), b"x"),
        {"within": 0.4},
        "within 0.4 s",
    ),
    "silence": (hears_only, {"within": 0.4}, "within 0.4 s"),
    "a body without end": (floods(said("200 OK"), b"x" * 65536), {}, "larger than 1 MB"),
    "ten gigabytes": (floods(said("200 OK", "Content-Length: 10737418240"), b"x" * 65536), {}, "larger than 1 MB"),
    "a page of 2 MB": (answers(BIG), {}, "larger than 1 MB"),
    "a gzip bomb": (answers(page(BOMB, "Content-Encoding: gzip")), {}, "larger than 1 MB"),
    "a cut page": (answers(said("200 OK", "Content-Length: 100", body=b"Welcome")), {}, "the answer breaks off"),
    "a cut gzip": (
        answers(page(gzip.compress(b"Welcome" * 99)[:-9], "Content-Encoding: gzip")),
        {},
        "its gzip has no end",
    ),
    "a false gzip": (answers(page(b"Welcome", "Content-Encoding: gzip")), {}, "not valid gzip"),
    "a packing nobody asked for": (answers(page(b"Welcome", "Content-Encoding: br")), {}, "packed as 'br'"),
    "bad chunks": (
        answers(said("200 OK", "Transfer-Encoding: chunked", body=b"zz\r\nWelcome\r\n")),
        {},
        "not valid HTTP",
    ),
    "a header of 1 MB": (floods(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536), {}, "not valid HTTP"),
    "another protocol": (answers(b"220 mail.example ESMTP\r\n\r\n"), {}, "not valid HTTP"),
    "an end without a word": (answers(b""), {}, "the answer breaks off"),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_verdict_on_a_server_that_sends(behaviour: str) -> None:
    talk, asked, reason = BEHAVIOURS[behaviour]
    begun = time.monotonic()
    with serving(talk) as server:
        found = ask(server.url(), **asked)  # type: ignore[arg-type]
        assert len(server.requests) <= 1
    assert found.ok == (not reason) and reason in found.reason, found.reason
    assert time.monotonic() - begun < 5


def test_a_closed_port_is_said_to_refuse() -> None:
    with serving(hears_only) as server:
        port = server.port
    assert ask(f"http://127.0.0.1:{port}/").reason == "the connection was refused"


def test_a_site_that_needs_a_moment_after_its_reload_passes_within_its_attempts() -> None:
    replies = iter([page(b"", status="502 Bad Gateway"), page(b"", status="502 Bad Gateway"), page(b"ok")])
    with serving(lambda connection: connection.sendall(next(replies))) as server:
        found = ask(server.url(), attempts=3)
    assert found.ok and found.flaky


def test_the_log_in_is_sent_and_only_when_there_is_one() -> None:
    with serving(answers(page(b"ok"))) as server:
        ask(server.url(), user="mia", password=Secret("s3cret"))
        ask(server.url())
    expected = b"basic " + b64encode(b"mia:s3cret").lower()
    assert expected in server.requests[0].lower() and b"authorization" not in server.requests[1].lower()


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1/")
    with serving(answers(page(b"ok"))) as server:
        assert ask(server.url()).ok


def test_an_abort_ends_a_waiting_request() -> None:
    asked: list[float] = []

    def guard() -> None:
        asked.append(time.monotonic())
        if len(asked) > 4:
            raise InterruptedError

    with serving(hears_only) as server, pytest.raises(InterruptedError):
        probe(
            SmokeTest(name="home", url=server.url(), within=60),
            transport=HttpTransport(allowed=ALL),
            guard=guard,
            sleep=lambda seconds: None,
        )


# --- TLS ---


class Authority:
    """A certificate authority of the test, and servers with what it signed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
        self._certificate = self._sign(self._key.public_key(), self._name, [], (-1, 9), authority=True)

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self._certificate.public_bytes(Encoding.PEM).decode())

    def server(self, name: str, *, days: tuple[int, int] = (-1, 9)) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._sign(key.public_key(), subject, [name], days, authority=False)
        path = self._directory / "server.pem"
        path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        names: list[str],
        days: tuple[int, int],
        *,
        authority: bool,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=days[0]))
            .not_valid_after(now + dt.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def over_tls(tls: ssl.SSLContext, trusted: ssl.SSLContext | None, **values: object) -> Finding:
    transport = HttpTransport(allowed=ALL, trusted=trusted, resolve=lambda host, port: ["127.0.0.1"])
    with serving(answers(page(b"ok")), tls=tls) as server:
        return ask(server.url(host="www.acme.example"), transport=transport, **values)


def test_a_good_certificate_passes_though_the_address_is_pinned(authority: Authority) -> None:
    assert over_tls(authority.server("www.acme.example"), authority.client()).ok


@pytest.mark.parametrize(
    ("name", "days", "reason"),
    [
        ("www.acme.example", (-9, -1), "the TLS certificate has expired"),
        ("www.acme.example", (1, 9), "the TLS certificate is not valid yet"),
        ("other.example", (-1, 9), "the TLS certificate is for another name"),
    ],
)
def test_a_bad_certificate_fails_and_it_is_said_why(
    authority: Authority, name: str, days: tuple[int, int], reason: str
) -> None:
    assert over_tls(authority.server(name, days=days), authority.client()).reason == reason


def test_a_certificate_of_an_unknown_authority_fails(authority: Authority) -> None:
    found = over_tls(authority.server("www.acme.example"), None)
    assert found.reason == "the TLS certificate comes from an unknown authority"


def test_verification_can_be_switched_off_for_one_test(authority: Authority) -> None:
    assert over_tls(authority.server("other.example", days=(-9, -1)), None, verify_tls=False).ok


def test_a_server_without_tls_is_said_to_have_none() -> None:
    with serving(answers(b"hello\r\n\r\n")) as server:
        found = ask(f"https://127.0.0.1:{server.port}/")
    assert found.reason == "TLS could not be set up with the server"


# --- addresses ---


@pytest.mark.parametrize(
    ("address", "openly", "privately"),
    [
        ("93.184.216.34", True, True),
        ("2606:4700::1111", True, True),
        ("127.0.0.1", False, True),
        ("127.8.8.8", False, True),
        ("::1", False, True),
        ("10.0.0.1", False, True),
        ("172.16.5.4", False, True),
        ("192.168.1.1", False, True),
        ("100.64.0.1", False, True),
        ("fd12:3456::1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("64:ff9b::a00:1", False, True),
        ("2002:a00:1::1", False, True),
        ("169.254.169.254", False, False),
        ("169.254.1.1", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:a9fe:a9fe::1", False, False),
        ("::169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("fe80::1%1", False, False),
        ("fd00:ec2::254", False, False),
        ("100.100.100.200", False, False),
        ("168.63.129.16", False, False),
        ("0.0.0.0", False, False),
        ("0.1.2.3", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("ff02::1", False, False),
        ("255.255.255.255", False, False),
        ("240.0.0.1", False, False),
    ],
)
def test_which_addresses_are_asked(address: str, openly: bool, privately: bool) -> None:
    ipaddress.ip_address(address)
    assert (not refusal(address)) is openly
    assert (not refusal(address, allowed=ALL)) is privately


@pytest.mark.parametrize(
    ("listed", "host", "address", "asked"),
    [
        ([], "www.acme.example", "93.184.216.34", True),
        ([], "www.acme.example", "10.0.0.1", False),
        (["www.acme.example"], "www.acme.example", "10.0.0.1", True),
        (["WWW.acme.example."], "www.ACME.example", "10.0.0.1", True),
        (["acme.example"], "www.acme.example", "10.0.0.1", False),
        (["www.acme.example"], "other.example", "10.0.0.1", False),
        (["10.0.0.1"], "www.acme.example", "10.0.0.1", True),
        (["10.0.0.1"], "www.acme.example", "10.0.0.2", False),
        (["10.0.0.0/24"], "www.acme.example", "10.0.0.2", True),
        (["10.0.0.0/24"], "www.acme.example", "10.0.1.2", False),
        (["10.0.0.7/24"], "www.acme.example", "10.0.0.2", True),
        (["fd12::/64"], "www.acme.example", "fd12::7", True),
        (["[::1]"], "[::1]", "::1", True),
        (["127.0.0.1"], "127.0.0.1", "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.1", "::ffff:127.0.0.1", True),
        (["127.0.0.1"], "localhost", "127.0.0.2", False),
        # Whoever owns a listed name cannot point it at the machine's own cloud.
        (["www.acme.example"], "www.acme.example", "169.254.169.254", False),
        (["169.254.0.0/16"], "www.acme.example", "169.254.169.254", False),
        (["0.0.0.0/0"], "www.acme.example", "fe80::1", False),
        (["169.254.10.1"], "www.acme.example", "169.254.10.1", True),
        (["www.acme.example"], "www.acme.example", "0.0.0.0", False),
        (["www.acme.example"], "www.acme.example", "224.0.0.1", False),
    ],
)
def test_a_private_address_is_asked_where_the_list_of_the_environment_names_it(
    listed: list[str], host: str, address: str, asked: bool
) -> None:
    assert (not refusal(address, allowed=Allowed.of(listed), host=host)) is asked


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_asked_however_it_is_written(host: str) -> None:
    with serving(answers(page(b"ok"))) as server:
        found = ask(f"http://{host}:{server.port}/", transport=HttpTransport())
        assert not found.ok and server.requests == []


def test_one_bad_address_of_a_name_is_enough_to_refuse_it() -> None:
    transport = HttpTransport(resolve=lambda host, port: ["93.184.216.34", "169.254.169.254"])
    assert "169.254.169.254" in ask("http://www.acme.example/", transport=transport).reason


def test_a_name_that_means_something_else_a_moment_later_is_asked_once() -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    with serving(answers(page(b"ok"))) as server:
        transport = HttpTransport(allowed=ALL, resolve=rebinding)
        assert ask(server.url(host="www.acme.example"), transport=transport).ok
    assert asked == ["www.acme.example"]


def test_a_name_without_an_address_is_said_to_have_none() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    found = ask("http://www.acme.example/", transport=HttpTransport(resolve=unknown))
    assert found.reason == "the name www.acme.example cannot be resolved"


def test_a_resolver_that_hangs_does_not_hold_us_up() -> None:
    released = threading.Event()

    def hanging(host: str, port: int) -> list[str]:
        released.wait(30)
        return []

    begun = time.monotonic()
    found = ask("http://www.acme.example/", transport=HttpTransport(resolve=hanging), within=0.2)
    released.set()
    assert "not resolved in time" in found.reason and time.monotonic() - begun < 3


def test_the_second_address_is_tried_when_the_first_does_not_answer() -> None:
    with serving(answers(page(b"ok"))) as server:
        transport = HttpTransport(allowed=ALL, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
        assert ask(server.url(host="www.acme.example"), transport=transport).ok


def test_no_answer_is_an_error_with_a_reason() -> None:
    with pytest.raises(NoAnswer) as caught:
        HttpTransport().get(SmokeTest(name="a", url="http://127.0.0.1/"), guard=lambda: None)
    assert caught.value.reason == (
        "127.0.0.1 is 127.0.0.1, this machine, and not among the environment's hosts: not asked"
    )
