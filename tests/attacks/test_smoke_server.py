"""RA34: a hostile server is smoke-tested. The verdict comes in time, and the process stays small.

RA33: a hostile address is smoke-tested. A canary on this machine hears nothing, however it is named.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator

import pytest

from deploynaut.engine.smoke_tests import Allowed, BadSmokeTest, HttpTransport, SmokeTest, probe
from deploynaut.engine.smoke_tests.addresses import system_resolver

pytestmark = pytest.mark.attacks

WITHIN = 3.0
LARGEST = 100 * 1024  # KiB, of the whole asking process; the bar of RA34 is 200 MB

# Asks once from a fresh process, so that its memory is the probe's alone.
PROBER = """
import json, re, sys, time
from deploynaut.engine.smoke_tests import ALL, HttpTransport, SmokeTest, probe
begun = time.monotonic()
test = SmokeTest(name="home", **json.loads(sys.argv[1]))
transport = HttpTransport(allowed=ALL)
found = probe(test, transport=transport, guard=lambda: None, sleep=lambda seconds: None)
# Not getrusage: its peak begins with that of the process that started this one.
used = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
print(json.dumps([found.ok, found.reason, time.monotonic() - begun, used]))
"""

Talk = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\n"


def for_ever(head: bytes, block: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(block)

    return talk


def slowly(head: bytes, pause: float = 0.1) -> Talk:
    gone = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            gone.wait(pause)

    return talk


def once(data: bytes) -> Talk:
    return lambda connection: connection.sendall(data)


def redirect(to: str) -> Talk:
    return once(f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def bomb(connection: socket.socket) -> None:
    """512 MB of nothing, as half a megabyte."""
    packer = zlib.compressobj(1, wbits=31)
    packed = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(512)) + packer.flush()
    connection.sendall(OK + b"Content-Encoding: gzip\r\n\r\n" + packed)


# A gzip of nothing but empty blocks: it never becomes a byte, however much of it is read.
EMPTY_BLOCKS = b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\0\0\0\xff\xff" * 10_000

HOSTILE: dict[str, Talk] = {
    "redirect to a file": redirect("file:///etc/passwd"),
    "redirect to metadata": redirect("http://169.254.169.254/latest/meta-data/"),
    "redirect to itself": redirect("/"),
    "10 GB": for_ever(OK + b"Content-Length: 10737418240\r\n\r\n", b"x" * (1 << 20)),
    "body without end": for_ever(OK + b"\r\n", b"x" * (1 << 20)),
    "chunks without end": for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"x" * 65536)),
    "slow status line": slowly(b"HTT"),
    "slow headers": slowly(OK + b"X: "),
    "slow body": slowly(OK + b"Content-Length: 99999\r\n\r\n"),
    "gzip bomb": bomb,
    "gzip of nothing": for_ever(OK + b"Content-Encoding: gzip\r\n\r\n", EMPTY_BLOCKS),
    "header of 1 MB": for_ever(OK + b"X: ", b"x" * (1 << 20)),
    "a million headers": for_ever(OK, b"X: y\r\n" * 10_000),
    "interim answers without end": for_ever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000),
    "chunk of a false size": once(OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx\r\n"),
    "chunk of no size": once(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n"),
    "chunk size without end": for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65536),
    "two lengths": once(OK + b"Content-Length: 1\r\nContent-Length: 9\r\n\r\nx"),
    "negative length": once(OK + b"Content-Length: -1\r\n\r\nx"),
    "newlines only": for_ever(b"", b"\r\n" * 10_000),
    "bytes of chance": once(bytes(range(256)) * 100 + b"\r\n\r\n"),
}


@contextlib.contextmanager
def serving(talk: Talk) -> Iterator[tuple[int, list[bytes]]]:
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            requests.append(connection.recv(65536))
            talk(connection)
            connection.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def ask(port: int, **values: object) -> tuple[bool, str, float, int]:
    asked = json.dumps({"url": f"http://127.0.0.1:{port}/", "within": WITHIN, **values})
    done = subprocess.run(
        [sys.executable, "-c", PROBER, asked], capture_output=True, text=True, check=True, timeout=WITHIN + 30
    )
    ok, reason, seconds, used = json.loads(done.stdout)
    return ok, reason, seconds, used


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_server_gets_its_verdict_in_time_and_no_memory(attack: str) -> None:
    with serving(HOSTILE[attack]) as (port, requests):
        ok, reason, seconds, used = ask(port)
    assert not ok and reason
    assert seconds < WITHIN + 1.5 and used < LARGEST
    assert len(requests) == 1, "something was followed"


def test_a_redirect_that_is_expected_is_still_not_followed() -> None:
    with serving(redirect("/next")) as (port, requests):
        ok, _, _, _ = ask(port, status=302, redirect="/next")
    assert ok and len(requests) == 1


# --- RA33 ------------------------------------------------------------------------------------------------------------

PUBLIC = "93.184.216.34"
NAMES = {
    "public.example": [PUBLIC],
    "inside.example": ["127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "both.example": [PUBLIC, "127.0.0.1"],
    "listed.example": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data.ec2.internal": ["169.254.169.254"],
    "private.example": ["10.1.2.3"],
    "carrier.example": ["100.64.0.1"],
    "unique.example": ["fd12:3456::1"],
}
FORMS = (
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.000.000.001:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0x0.0x0.0x1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://127.0.0.1%2f@public.example:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[::]:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://public.example@127.0.0.1:{port}/",
    "http://public.example:80@127.0.0.1:{port}/",
    "http://user:word@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@public.example/",
    "http://public.example\\@127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1\r\nHost: public.example:{port}/",
    "http://public.example/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
    "http://127.0.0.1:{port}#@public.example/",
    "http://127.0.0.1:{port}?@public.example/",
    "http://inside.example:{port}/",
    "http://INSIDE.example.:{port}/",
    "http://mapped.example:{port}/",
    "http://both.example:{port}/",
    "https://inside.example:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
    "ftp://127.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9fea9fe/latest/meta-data/",
    "http://0251.0376.0251.0376/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://instance-data.ec2.internal/",
    "http://100.100.100.200/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://private.example/",
    "http://carrier.example/",
    "http://unique.example/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
)


def resolve(host: str, port: int) -> list[str]:
    """The names of the test; whatever is a number in disguise is resolved as the machine does it."""
    known = NAMES.get(host.lower().removesuffix("."))
    return known if known is not None else system_resolver(host, port)


def refused(url: str, *, hosts: tuple[str, ...] = ("public.example", "listed.example")) -> str:
    """Why it is not asked; empty when it was."""
    try:
        test = SmokeTest(name="home", url=url, within=2)
    except BadSmokeTest as error:
        return str(error)
    transport = HttpTransport(allowed=Allowed.of(hosts), resolve=resolve)
    return probe(test, transport=transport, guard=lambda: None, sleep=lambda seconds: None).reason


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_an_address_reaches_what_the_environment_does_not_list(form: str) -> None:
    with serving(once(OK + b"Content-Length: 6\r\n\r\ncanary")) as (port, requests):
        reason = refused(form.format(port=port))
    assert reason and requests == [], reason
    refusals = (
        "not asked",
        "must begin",
        "do not belong",
        "is not an address",
        "own fields",
        "resolved",
        "cannot be asked",
    )
    assert any(words in reason for words in refusals), reason


def test_there_are_forty_forms_and_the_canary_can_sing() -> None:
    assert len({*FORMS}) >= 40
    with serving(once(OK + b"Content-Length: 6\r\n\r\ncanary")) as (port, requests):
        assert refused(f"http://listed.example:{port}/") == ""
        assert refused(f"http://inside.example:{port}/", hosts=("127.0.0.0/8",)) == ""
        assert len(requests) == 2


def test_a_redirect_to_the_canary_is_not_followed_even_when_it_is_expected() -> None:
    with serving(once(OK + b"Content-Length: 6\r\n\r\ncanary")) as (port, requests):
        for code in ("301", "302", "303", "307", "308"):
            answer = f"HTTP/1.1 {code} Go\r\nLocation: http://inside.example:{port}/\r\nContent-Length: 0\r\n\r\n"
            with serving(once(answer.encode())) as (first, asked):
                assert "answered" in refused(f"http://listed.example:{first}/")
                assert len(asked) == 1
        assert requests == []


def test_a_name_is_resolved_once_and_the_second_answer_counts_for_nothing() -> None:
    answers = [[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]
    with serving(once(OK + b"Content-Length: 6\r\n\r\ncanary")) as (port, requests):
        test = SmokeTest(name="home", url=f"http://rebinding.example:{port}/", within=0.5)
        transport = HttpTransport(resolve=lambda host, port: answers.pop(0))
        found = probe(test, transport=transport, guard=lambda: None, sleep=lambda seconds: None)
    assert not found.ok and requests == [] and len(answers) == 2
