"""`./run` as a person sees it: an address, log-ins, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploynaut.supervisor import descendants
from tests.house.tree import ROOT

READY = 60


class Demo:
    """One `./run` with data of its own."""

    def __init__(self, data: Path, *words: str) -> None:
        self.data = data
        self.process = subprocess.Popen(
            [str(ROOT / "run"), "--data", str(data), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.told = ""

    def until(self, words: str) -> str:
        """What is printed until a line holds the words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told += line
            if words in line:
                return self.told
        raise AssertionError(f"./run ended before it said {words!r}:\n{self.told}")

    @property
    def addresses(self) -> list[str]:
        return re.findall(r"http://127\.0\.0\.1:\d+", self.told)

    def children(self) -> dict[int, str]:
        """Process ids below ./run with their command lines."""
        found = {pid: _command(pid) for pid in _below(self.process.pid)}
        return {pid: words for pid, words in found.items() if words}


def _below(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(child) for child in listed.split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.fixture
def others() -> set[int]:
    """What runs before the demo is started: servers that tests of other areas keep for the session."""
    return set(descendants())


@pytest.fixture
def demo(tmp_path: Path, others: set[int]) -> Iterator[Demo]:
    one = Demo(tmp_path / "data")
    yield one
    one.process.send_signal(signal.SIGTERM)
    try:
        one.process.wait(15)
    finally:
        one.process.kill()


def taken(address: str) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


@pytest.mark.timeout(180)
def test_run_serves_the_demo_and_leaves_nothing_behind(demo: Demo, others: set[int]) -> None:
    demo.until("Ctrl-C ends everything")
    web, uat, prod = demo.addresses
    assert re.search(r"with the password \S{12,}", demo.told)
    assert all(name in demo.told for name in ("mia@", "rob@", "olga@", "ada@"))
    with urllib.request.urlopen(web, timeout=20) as page:
        assert page.status == 200
    assert taken(uat)
    assert taken(prod)

    second = subprocess.run([str(ROOT / "run"), "--data", str(demo.data)], capture_output=True, text=True, timeout=10)
    assert second.returncode == 2
    assert f"already at {web}" in second.stderr

    worker = next(pid for pid, words in demo.children().items() if "manage.py worker" in words)
    os.kill(worker, signal.SIGKILL)
    demo.until("worker was killed by signal 9; it is started again")

    children = demo.children()
    begun = time.monotonic()
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(15) == 0
    assert time.monotonic() - begun < 10
    assert not [words for pid, words in children.items() if _command(pid) == words]
    assert not [address for address in (web, uat, prod) if taken(address)]
    assert not set(descendants()) - others


def test_reset_removes_nothing_that_no_demo_has_made(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    one = Demo(tmp_path, "--reset")
    assert "is not a demo's data" in one.until("nothing was removed")
    assert one.process.wait(10) == 2
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_run_tells_which_package_is_missing_without_git(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(os.path.realpath("/proc/self/exe"))
    done = subprocess.run(
        [str(tmp_path / "python3"), str(ROOT / "run"), "--data", str(tmp_path / "data")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "apt install git" in done.stderr
