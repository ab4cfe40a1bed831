"""What the process is told by its environment, how it logs, and how it goes down."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploynaut import process_environment as env
from deploynaut.draining import draining
from deploynaut.durable.process import BadName, NameTaken, check_name, only_one
from deploynaut.server_log import PlainFormatter, printable

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("value", "meaning"),
    [("yes", True), ("1", True), ("", False), ("no", False), (" On ", True)],
)
def test_a_switch_is_yes_or_no(monkeypatch: pytest.MonkeyPatch, value: str, meaning: bool) -> None:
    monkeypatch.setenv("DEPLOYNAUT_DEMO", value)
    assert env.switch("DEPLOYNAUT_DEMO") is meaning


def test_a_switch_that_is_neither_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEPLOYNAUT_DEMO", "perhaps")
    with pytest.raises(env.BadSetting, match=r"DEPLOYNAUT_DEMO is 'perhaps'\. Write yes or no"):
        env.switch("DEPLOYNAUT_DEMO")


@pytest.mark.parametrize("value", ["-1", "two", "1.5", "²"])
def test_a_number_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DEPLOYNAUT_PROXIES", value)
    with pytest.raises(env.BadSetting, match="DEPLOYNAUT_PROXIES"):
        env.number("DEPLOYNAUT_PROXIES", 0)


def _put_secret(file: Path, answers: Any) -> None:
    answers.put(env.kept_secret(file))


def test_processes_that_start_together_agree_on_one_secret_that_only_they_can_read(
    tmp_path: Path,
) -> None:
    file = tmp_path / "keys" / "secret.key"
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    processes = [context.Process(target=_put_secret, args=(file, answers)) for _ in range(8)]
    for process in processes:
        process.start()
    found = {answers.get() for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1
    assert len(found.pop()) >= 50
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["secret.key"]


def settings(tmp_path: Path, *names: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Read the real settings in a process of their own; prints the named ones."""
    show = f"from deploynaut import settings as s; print(*(getattr(s, n) for n in {names!r}), sep='|')"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DEPLOYNAUT_")}
    environment = {**clean, "DEPLOYNAUT_DATA": str(tmp_path), **variables}
    return subprocess.run(
        [sys.executable, "-c", show],
        check=False,
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


COOKIE_SETTINGS = (
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_SECURE",
    "SECURE_HSTS_SECONDS",
    "DEPLOYNAUT_URL",
)


def test_on_a_public_host_cookies_are_secure_and_bound_to_it(tmp_path: Path) -> None:
    answer = settings(tmp_path, *COOKIE_SETTINGS, DEPLOYNAUT_HOSTS="deploy.example")
    assert answer.stdout.strip() == "__Host-deploynaut|True|31536000|https://deploy.example"


def test_on_loopback_the_demo_works_without_tls(tmp_path: Path) -> None:
    answer = settings(tmp_path, *COOKIE_SETTINGS)
    assert answer.stdout.strip() == "deploynaut|False|0|http://127.0.0.1:8000"


def test_debug_is_refused_on_a_public_host(tmp_path: Path) -> None:
    answer = settings(tmp_path, "DEBUG", DEPLOYNAUT_DEBUG="yes", DEPLOYNAUT_HOSTS="deploy.example")
    assert answer.returncode != 0
    assert "DEPLOYNAUT_DEBUG shows the inside of the program" in answer.stderr


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain – text", "plain – text"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\udc80", "\\udc80"),
    ],
)
def test_a_log_line_holds_nothing_that_a_terminal_obeys(text: str, written: str) -> None:
    assert printable(text) == written


def test_a_trace_keeps_its_lines_and_nothing_else() -> None:
    try:
        raise ValueError("one\ntwo \x1b[2J")
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "f", 1, "It\rfailed", (), sys.exc_info())
    lines = PlainFormatter("%(message)s").format(record).split("\n")
    assert lines[0] == "It\\rfailed"
    assert all(line.startswith("    ") and "\x1b" not in line for line in lines[1:])


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "../a", "a" * 41, "ä", "a\n"])
def test_a_workers_name_is_plain(name: str) -> None:
    with pytest.raises(BadName):
        check_name(name)


def test_a_name_is_held_by_one_process_and_free_after_it(tmp_path: Path) -> None:
    with only_one(tmp_path, "w1"):
        with (
            pytest.raises(NameTaken, match=f"process {os.getpid()}"),
            only_one(tmp_path, "w1"),
        ):
            pass
        with only_one(tmp_path, "w2"):
            pass
    with only_one(tmp_path, "w1"):
        pass


def test_the_web_server_tells_endless_streams_to_end_and_then_ends_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from deploynaut.asgi import application

    seen: list[bool] = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append(draining.is_set()))
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        asyncio.run(_start_up(application))
        assert not draining.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert seen == [True]
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
        draining.clear()


async def _start_up(application: Any) -> None:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await application({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
