"""RA34: a hostile server is smoke-tested. The verdict comes in time, and the process stays small."""

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
