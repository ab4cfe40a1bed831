"""The supervisor on small processes of Python: what ends is started again, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PARENT = """
import os, sys
from pathlib import Path
from deploynaut.supervisor import Supervisor

def say(text):
    print(text, flush=True)

logs, patience, *children = sys.argv[1:]
with Supervisor(
    root=Path.cwd(), logs=Path(logs), environment=dict(os.environ), say=say, patience=float(patience)
) as family:
    for number, text in enumerate(children):
        family.start(f"child{number}", (sys.executable, "-c", text))
    family.watch(ready=lambda: True, when_ready=lambda: say("ready"))
"""
STAYS = """
import os, signal
print("child", os.getpid(), flush=True)
while True: signal.pause()
"""
DEAF = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
{STAYS}
"""
STARTS_ONE = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {DEAF!r}], start_new_session=True)
"""
LEAVES_ONE = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {STARTS_ONE!r}], check=True)
{STAYS}
"""


class Family:
    """A supervisor in a process of its own."""

    def __init__(self, logs: Path, *children: str, patience: float = 1.0) -> None:
        self.logs = logs
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(logs), str(patience), *children],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def pids(self, name: str = "child0") -> list[int]:
        """Every process id that the child's log names, oldest first."""
        log = self.logs / f"{name}.log"
        return [int(pid) for pid in re.findall(r"child (\d+)", log.read_text())] if log.exists() else []


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[..., Family]]:
    started: list[Family] = []

    def start(*children: str, **options: float) -> Family:
        started.append(Family(tmp_path / "log", *children, **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(10)


def eventually(question: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether the answer becomes yes in time."""
    until = time.monotonic() + seconds
    while not question() and time.monotonic() < until:
        time.sleep(0.02)
    return question()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_that_was_killed_is_started_again_and_said(family: Callable[..., Family]) -> None:
    one = family(STAYS)
    assert one.line() == "ready"
    assert eventually(lambda: len(one.pids()) == 1)
    os.kill(one.pids()[0], signal.SIGKILL)
    assert one.line().startswith("child0 was killed by signal 9; it is started again now. Its log: ")
    assert eventually(lambda: len(one.pids()) == 2)
    assert alive(one.pids()[1])


def test_a_child_that_ends_at_once_is_started_again_at_growing_intervals(family: Callable[..., Family]) -> None:
    one = family("import sys; sys.exit(3)")
    told = [line for line in (one.line() for _ in range(4)) if line != "ready"]
    said = re.findall(r"again (?:now|in \d+ s)", " ".join(told))
    assert said == ["again now", "again in 2 s", "again in 4 s"]
    assert "child0 ended with status 3" in told[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything(family: Callable[..., Family], number: signal.Signals) -> None:
    one = family(STAYS, STAYS)
    assert eventually(lambda: bool(one.pids("child0") and one.pids("child1")))
    one.process.send_signal(number)
    assert one.process.wait(10) == 0
    assert not [pid for pid in one.pids("child0") + one.pids("child1") if alive(pid)]


def test_a_child_that_does_not_listen_is_killed_in_the_end(family: Callable[..., Family]) -> None:
    one = family(DEAF, patience=0.3)
    assert eventually(lambda: bool(one.pids()))
    one.process.send_signal(signal.SIGTERM)
    one.process.wait(10)
    assert not alive(one.pids()[0])


def test_a_grandchild_in_a_session_of_its_own_is_gone_too(family: Callable[..., Family]) -> None:
    one = family(LEAVES_ONE, patience=0.3)
    assert eventually(lambda: len(one.pids()) == 2)
    one.process.send_signal(signal.SIGTERM)
    one.process.wait(10)
    assert not [pid for pid in one.pids() if alive(pid)]


def test_the_children_end_when_the_supervisor_is_killed(family: Callable[..., Family]) -> None:
    one = family(STAYS)
    assert eventually(lambda: bool(one.pids()))
    one.process.kill()
    assert eventually(lambda: not alive(one.pids()[0]))
