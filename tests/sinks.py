"""Servers on loopback that take messages and keep them: for tests of sending, and for stories that read what arrived.

    with mail_sink() as mail, gateway_sink() as phones, chat_sink() as chat:
        mail.port                          # an SMTP server;  mail.mails: what it was handed, each with its envelope
        phones.url, chat.url               # `json://` addresses for the settings pages; they need
                                           # DEPLOYNAUT_PRIVATE_GATEWAYS=yes in the environment of web and worker
        phones.texts                       # [Text(to="+64215550001", body="…")]
        chat.posts                         # [{"title": …, "message": …}]
        phones.do = "429"                  # from now on: ok, 429, 500, slow, swallow (takes it, never answers)

Twilio, by Apprise's own plugin as it is shipped, which knows no other server than api.twilio.com over verified TLS:

    with twilio_sink(folder) as twilio:
        twilio.url                         # twilio://AC…:token@+15551230000
        twilio.environment                 # HTTPS_PROXY and REQUESTS_CA_BUNDLE: give them to the worker

The proxy takes CONNECT api.twilio.com:443 to a server that has a certificate for that name from an authority made for
the test. So nothing is patched, no name is faked on the machine, and neither root nor a namespace is needed.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TWILIO = "api.twilio.com"
SID, TOKEN, SENDER = "AC" + "5b" * 16, "7d" * 16, "+15551230000"


# --- mail ------------------------------------------------------------------------------------------------------------


@dataclass
class Mail:
    """One mail as it arrived."""

    sender: str
    to: list[str]
    message: EmailMessage

    @property
    def body(self) -> str:
        """Its text."""
        return cast(str, self.message.get_content())


@dataclass
class MailSink:
    """An SMTP server. `answer`: what DATA is answered with; `refuse`: what RCPT is, for an address; `wait`: seconds."""

    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    answer: str = "250 2.0.0 queued as 4F2A"
    refuse: dict[str, str] = field(default_factory=dict)
    wait: float = 0
    swallow: bool = False
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 (the library's name)
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """A recipient."""
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """The mail itself."""
        import asyncio

        await asyncio.sleep(self.wait)
        if self.answer.startswith("2") or self.swallow:
            mail = message_from_bytes(cast(bytes, envelope.content), policy=policy.default)
            self.mails.append(Mail(envelope.mail_from or "", list(envelope.rcpt_tos), mail))
        if self.swallow:
            await asyncio.sleep(3600)
        return self.answer

    def authenticate(self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        """A log-in: postman, letters."""
        assert isinstance(data, LoginPassword)
        login = (data.login.decode(), data.password.decode())
        self.logins.append(login)
        return AuthResult(success=login == ("postman", "letters and stamps"), handled=False)


@contextlib.contextmanager
def mail_sink(*, tls: str = "none", authority: Authority | None = None, auth: bool = False) -> Iterator[MailSink]:
    """An SMTP server on loopback; `tls`: none, starttls or tls, with a certificate of the authority."""
    sink = MailSink(port=free_port())
    options: dict[str, Any] = {}
    if tls != "none":
        assert authority is not None
        options["ssl_context" if tls == "tls" else "tls_context"] = authority.context("localhost")
    if tls == "starttls":
        options["require_starttls"] = True
    if auth:
        options |= {"authenticator": sink.authenticate, "auth_required": True, "auth_require_tls": tls != "none"}
    if tls == "tls" and auth:
        # It looks for STARTTLS alone; here all of it is under TLS.
        options["auth_require_tls"] = False
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port, **options)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


# --- gateways and chats ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """One text as it arrived."""

    to: str
    body: str


@dataclass
class WebSink:
    """An HTTP server that keeps what is posted to it. `do`: what it does from now on."""

    port: int = 0
    url: str = ""
    do: str = "ok"
    texts: list[Text] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    tried: list[Text] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    gone: threading.Event = field(default_factory=threading.Event)

    def take(self, text: Text) -> tuple[int, dict[str, Any]]:
        """What is answered to a text or post."""
        self.tried.append(text)
        match self.do:
            case "429":
                return 429, {"code": 20429, "message": "Too Many Requests"}
            case "500":
                return 500, {"message": "the gateway is out of order"}
            case "slow":
                self.gone.wait(60)
            case "swallow":
                self.texts.append(text)
                self.gone.wait(3600)
                return 201, {}
        self.texts.append(text)
        return 201, {"sid": f"SM{len(self.texts):032d}", "status": "queued", "to": text.to, "error_code": None}


class _Handler(BaseHTTPRequestHandler):
    sink: WebSink

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        status, answer = self.answer(content)
        body = json.dumps(answer).encode()
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status == 429:
                self.send_header("Retry-After", "30")
            self.end_headers()
            self.wfile.write(body)

    def answer(self, content: bytes) -> tuple[int, dict[str, Any]]:
        """A JSON gateway: `to` and `message`; a chat leaves `to` out."""
        posted = json.loads(content)
        status, answer = self.sink.take(Text(posted.get("to", ""), posted["message"]))
        if status < 400:
            self.sink.posts.append(posted)
        return status, answer

    def log_message(self, *words: Any) -> None:
        """Nothing."""


class _Twilio(_Handler):
    """Messages.json of Twilio's REST interface, as its documentation describes it."""

    def answer(self, content: bytes) -> tuple[int, dict[str, Any]]:
        right = "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
        if self.headers.get("Authorization") != right:
            return 401, {"code": 20003, "message": "Authenticate", "status": 401}
        if self.path != f"/2010-04-01/Accounts/{SID}/Messages.json":
            return 404, {"code": 20404, "message": "The requested resource was not found", "status": 404}
        fields = {name: values[0] for name, values in parse_qs(content.decode()).items()}
        if fields.get("From") != SENDER or fields["To"].endswith("0000"):
            words = f"Invalid 'To' Phone Number: {fields['To']}"
            return 400, {"code": 21211, "message": words, "status": 400}
        return self.sink.take(Text(fields["To"], fields["Body"]))


@contextlib.contextmanager
def web_sink(handler: type[_Handler] = _Handler, context: ssl.SSLContext | None = None) -> Iterator[WebSink]:
    """A server that keeps what is posted."""
    sink = WebSink()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (handler,), {"sink": sink}))
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    sink.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        sink.gone.set()
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def gateway_sink() -> Iterator[WebSink]:
    """A gateway of one's own, spoken to in JSON."""
    with web_sink() as sink:
        sink.url = f"json://postman:stamps-and-letters@127.0.0.1:{sink.port}/send?:to={{to}}"
        yield sink


@contextlib.contextmanager
def chat_sink() -> Iterator[WebSink]:
    """A chat, spoken to in JSON."""
    with web_sink() as sink:
        sink.url = f"json://postman:gossip-and-tea@127.0.0.1:{sink.port}/releases"
        yield sink


@contextlib.contextmanager
def twilio_sink(folder: Path) -> Iterator[WebSink]:
    """Twilio as its plugin sees it."""
    authority = Authority(folder)
    with web_sink(_Twilio, authority.context(TWILIO)) as sink, _proxy({(TWILIO, 443): sink.port}) as port:
        sink.url = f"twilio://{SID}:{TOKEN}@{SENDER}"
        sink.environment = {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "REQUESTS_CA_BUNDLE": str(authority.file)}
        yield sink


@contextlib.contextmanager
def _proxy(ways: dict[tuple[str, int], int]) -> Iterator[int]:
    """A proxy that knows CONNECT, and these servers alone."""

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            host, _, port = self.path.rpartition(":")
            if (host, int(port)) not in ways:
                self.send_error(403)
                return
            self.send_response(200)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", ways[host, int(port)])) as there:
                _pipe(self.connection, there)

        def log_message(self, *words: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _pipe(one: socket.socket, other: socket.socket) -> None:
    def copy(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()


# --- certificates ----------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority for one test; `file`: what has to be trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "authority.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of a test")])
        ca = x509.BasicConstraints(ca=True, path_length=0)
        own = self._builder(self._name, self._key).add_extension(ca, critical=True)
        own = own.add_extension(_CA_USE, critical=True)
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def context(self, name: str) -> ssl.SSLContext:
        """What a server of that name shows; it is also good for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = self._builder(subject, key).add_extension(names, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        shown = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        path = self.folder / f"{name}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + shown.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


_CA_USE = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(true: Callable[[], object], *, seconds: float = 20) -> None:
    """Ask until it is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not become so in time"
        time.sleep(0.02)
