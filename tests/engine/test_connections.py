"""What every connection promises, asked of each kind: `Local`, and fence.sh as dash and as bash run it."""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploynaut.engine.connections import (
    BadAddress,
    CommandFailed,
    Connection,
    Fenced,
    Host,
    Local,
    OpenSSH,
    OutputTooLong,
    StillRunning,
    TargetUnfit,
    TimedOut,
)
from deploynaut.engine.connections.processes import group_lives, look
from deploynaut.engine.connections.streams import Pump, close
from deploynaut.engine.shell import BadWord, Secret, command, script
from deploynaut.engine.testing import RecordingConnection

KEY = "ssh-ed25519 " + "A" * 68
SLOW = script('echo $$ >"$1"; sleep 300 & sleep 300', "leader")
"""A command with a child, which writes its process id down and would run for long."""


class ShellMaster:
    """In the place of a logged-in ssh: each channel is a child of this machine that runs fence.sh in a chosen shell."""

    alive = True

    def __init__(self, shell: str) -> None:
        self._shell = shell

    def open(self, fence: str) -> subprocess.Popen[bytes]:
        text = fence.replace("exec /bin/sh", f"exec {self._shell}", 1)
        pipe = subprocess.PIPE
        words = ["/bin/sh", "-c", text]
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)

    def close(self) -> None:
        """Nothing is held."""


class Door:
    """Makes connections of one kind to one base directory."""

    def __init__(self, kind: str, base: Path) -> None:
        self.kind = kind
        self.base = base

    def __call__(self, *, token: int = 1, run: str = "acme/uat#1", guard: Callable[[], None] = lambda: None) -> Any:
        if self.kind == "local":
            return Local(base=self.base, token=token, run=run, guard=guard)
        shell = {"dash": "dash", "bash": "bash --posix"}[self.kind]
        dial: Any = lambda *_, **__: ShellMaster(shell)  # noqa: E731
        host = Host("web1.example", 22, "deploy", KEY)
        return OpenSSH(host, str(self.base), token, run, b"", self.base, guard, dial=dial)

    def journal(self) -> list[list[str]]:
        text = (self.base / ".deploynaut/journal").read_text()
        return [line.split(" ", 6) for line in text.splitlines()]

    def leader(self) -> int:
        """The process group of SLOW, as soon as it has said it."""
        file = self.base / "leader"
        until(lambda: file.exists() and file.read_text().strip() != "")
        process = look(int(file.read_text()))
        assert process is not None
        return process.group


@pytest.fixture(params=["local", "dash", "bash"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Door:
    base = tmp_path / "site"
    return Door(request.param, base)


@pytest.fixture
def connection(door: Door) -> Connection:
    made: Connection = door()
    return made


def until(happened: Callable[[], bool], *, seconds: float = 20) -> None:
    """Waits for something that must happen soon."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.01)


class Background:
    """A call in another thread, whose outcome is asked for later."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self.value: object = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.value = self._call()
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()


# What a command is given and gives back


def test_a_command_gives_its_output_errors_and_status(connection: Connection) -> None:
    result = connection.run(script("echo out; echo oops >&2; exit 7"), timeout=10, check=False)
    assert (result.status, result.output, result.errors) == (7, b"out\n", b"oops\n")


def test_a_command_starts_in_the_base_directory(connection: Connection, door: Door) -> None:
    assert connection.run(command("pwd"), timeout=10).text.strip() == str(door.base)


def test_output_without_a_new_line_at_the_end_stays_as_it_is(connection: Connection) -> None:
    assert connection.run(command("printf", "a\\nb"), timeout=10).output == b"a\nb"


def test_input_arrives_whole_from_bytes_and_from_a_file(connection: Connection, tmp_path: Path) -> None:
    content = os.urandom(200_001)
    file = tmp_path / "payload"
    file.write_bytes(content)
    assert connection.run(command("cat"), timeout=20, stdin=content).output == content
    assert connection.run(command("cat"), timeout=20, stdin=file).output == content


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537])
def test_input_of_any_size_ends_where_it_ends(connection: Connection, size: int) -> None:
    assert connection.run(command("wc", "-c"), timeout=20, stdin=b"x" * size).text.strip() == str(size)


def test_without_input_a_command_reads_nothing(connection: Connection) -> None:
    assert connection.run(command("cat"), timeout=10).output == b""


def test_a_command_may_leave_its_input_unread(connection: Connection) -> None:
    assert connection.run(command("head", "-c", "3"), timeout=20, stdin=b"abc" + b"x" * 3_000_000).output == b"abc"


def test_a_command_that_stops_reading_may_still_take_its_time(connection: Connection) -> None:
    what = script('head -c 3; exec <&-; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo " done"')
    assert connection.run(what, timeout=20, stdin=b"abc" + b"x" * 3_000_000).output == b"abc done\n"


def test_pipes_fail_when_a_part_fails(connection: Connection) -> None:
    dump = command("false").pipe(command("cat"))
    assert connection.run(dump, timeout=10, check=False).status == 1


def test_odd_words_arrive(connection: Connection) -> None:
    words = [b"a\nb", b"'\"`$(id)\\", b"\xff\xfe", b"", b"-n", b"DEPLOYNAUT_COMMAND\nDEPLOYNAUT_COMMAND"]
    result = connection.run(command("printf", "%s\\0", *words), timeout=10)
    assert result.output == b"".join(word + b"\0" for word in words)


def test_a_failure_names_command_status_host_and_reason(connection: Connection) -> None:
    with pytest.raises(CommandFailed, match=r"status 3 on .*: .*No space") as caught:
        connection.run(script("echo No space >&2; exit 3"), timeout=10)
    assert (caught.value.status, caught.value.host) == (3, connection.name)


@pytest.mark.parametrize("status", [1, 125, 126, 127, 129, 143, 255])
def test_every_status_is_the_commands_own(connection: Connection, status: int) -> None:
    assert connection.run(script('exit "$1"', str(status)), timeout=10, check=False).status == status


def test_nul_is_refused_before_anything_happens(connection: Connection) -> None:
    with pytest.raises(BadWord):
        connection.run(command("echo", "a\0b"), timeout=10)


def test_a_secret_is_in_no_argument_list_and_in_no_journal(connection: Connection, door: Door) -> None:
    secret = "correct-horse-battery"
    slow = script('echo $$ >leader; test -n "$WORD"; sleep 300').with_environment(WORD=Secret(secret))
    running = Background(lambda: connection.run(slow, timeout=60))
    door.leader()
    assert [pid for pid, words in argument_lists() if secret in words] == []
    connection.stop_work()
    running.join()
    assert secret not in (door.base / ".deploynaut/journal").read_text()


def argument_lists() -> Iterator[tuple[int, str]]:
    """Every process and its words."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue


# Listening


def test_a_listener_hears_output_and_errors(connection: Connection) -> None:
    heard: list[bytes] = []
    connection.run(script("echo out; echo oops >&2"), timeout=10, output=heard.append)
    assert sorted(b"".join(heard).splitlines()) == [b"oops", b"out"]


def test_output_is_heard_as_it_comes(connection: Connection, door: Door) -> None:
    """The command waits for what the listener does with its first word."""

    def hear(chunk: bytes) -> None:
        if b"ready" in chunk:
            (door.base / "heard").touch()

    connection.run(script("echo ready; until [ -e heard ]; do sleep 0.01; done"), timeout=20, output=hear)


def test_output_goes_to_a_file_and_errors_to_the_listener(connection: Connection) -> None:
    heard: list[bytes] = []
    file = io.BytesIO()
    connection.run(script("echo out; echo oops >&2"), timeout=10, output=heard.append, output_to=file)
    assert (file.getvalue(), b"".join(heard)) == (b"out\n", b"oops\n")


def test_a_flood_of_output_is_heard_in_bounded_memory(connection: Connection) -> None:
    heard = 0

    def hear(chunk: bytes) -> None:
        nonlocal heard
        heard += len(chunk)

    tracemalloc.start()
    try:
        result = connection.run(script("head -c 100000000 /dev/zero"), timeout=60, output=hear)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert heard == 100_000_000
    assert len(result.output) <= 64 * 1024
    assert peak < 10_000_000


def test_a_flood_that_nobody_hears_is_ended(connection: Connection) -> None:
    with pytest.raises(OutputTooLong):
        connection.run(script("echo $$ >leader; cat /dev/zero"), timeout=60)


def test_what_a_listener_raises_ends_the_work(connection: Connection, door: Door) -> None:
    def hear(_: bytes) -> None:
        raise OSError("our disk is full")

    with pytest.raises(OSError, match="our disk"):
        connection.run(script("echo $$ >leader; echo x; sleep 300"), timeout=60, output=hear)
    assert not group_lives(door_leader_group(door))


def door_leader_group(door: Door) -> int:
    """The group of the last command in the journal."""
    return int(door.journal()[-1][4])


def test_a_command_cannot_write_our_marks(connection: Connection) -> None:
    forged = "00000000000000000000000000000000 end exit 0"
    result = connection.run(script('echo "$1"; echo "$1" >&2; exit 5', forged), timeout=10, check=False)
    assert (result.status, result.text) == (5, forged + "\n")


# The end of work


def test_children_left_behind_are_ended_with_the_command(connection: Connection, door: Door) -> None:
    connection.run(script("sleep 300 & sleep 300 & echo gone"), timeout=20)
    assert not group_lives(door_leader_group(door))


def test_a_command_that_takes_too_long_is_proven_gone(connection: Connection, door: Door) -> None:
    with pytest.raises(TimedOut, match="longer than 1 s"):
        connection.run(SLOW, timeout=1)
    assert not group_lives(door_leader_group(door))
    assert door.journal()[-1][5:] == ["end", "stopped"]


@pytest.mark.parametrize("door", ["local", "dash"], indirect=True)
def test_a_command_that_ignores_the_request_is_forced(connection: Connection, door: Door) -> None:
    stubborn = script("trap '' TERM; echo $$ >leader; while :; do sleep 1; done")
    with pytest.raises(TimedOut):
        connection.run(stubborn, timeout=1)
    assert not group_lives(door_leader_group(door))


def test_a_stopped_process_is_ended_too(connection: Connection, door: Door) -> None:
    running = Background(lambda: connection.run(SLOW, timeout=60))
    os.killpg(door.leader(), signal.SIGSTOP)
    connection.stop_work()
    running.join()
    assert not group_lives(door_leader_group(door))


class Aborted(Exception):
    """What a guard raises in these tests."""


def test_when_the_guard_raises_the_work_is_proven_gone(door: Door) -> None:
    asked = threading.Event()

    def guard() -> None:
        if asked.is_set():
            raise Aborted

    running = Background(lambda: door(guard=guard).run(SLOW, timeout=60))
    group = door.leader()
    asked.set()
    running.join()
    assert isinstance(running.error, Aborted)
    assert not group_lives(group)


def test_the_guard_is_asked_at_least_each_second(door: Door) -> None:
    asked: list[float] = []
    with pytest.raises(TimedOut):
        door(guard=lambda: asked.append(time.monotonic())).run(SLOW, timeout=3)
    assert max(after - before for before, after in itertools.pairwise(asked)) <= 1.1


def test_the_guard_is_asked_in_the_middle_of_a_flood(door: Door) -> None:
    end = time.monotonic() + 1

    def guard() -> None:
        if time.monotonic() > end:
            raise Aborted

    with pytest.raises(Aborted):
        door(guard=guard).run(command("cat", "/dev/zero"), timeout=60, output=lambda _: None)


def test_stopping_ends_what_this_run_has_running(door: Door) -> None:
    running = Background(lambda: door().run(SLOW, timeout=60))
    group = door.leader()
    door().stop_work()
    assert not group_lives(group)
    running.join()


def test_stopping_when_nothing_runs_is_harmless(connection: Connection) -> None:
    connection.stop_work()
    connection.stop_work()
    assert connection.run(command("echo", "on"), timeout=10).text == "on\n"


def test_work_goes_on_after_a_stop_under_the_same_token(connection: Connection) -> None:
    with pytest.raises(TimedOut):
        connection.run(SLOW, timeout=0.5)
    assert connection.run(command("echo", "way back"), timeout=10).text == "way back\n"


# The fence


def test_a_command_with_an_older_token_is_refused(door: Door) -> None:
    door(token=7).take_over()
    with pytest.raises(Fenced, match="token 7"):
        door(token=6).run(command("touch", "acted"), timeout=10)
    assert not (door.base / "acted").exists()


def test_an_older_token_cannot_take_over(door: Door) -> None:
    door(token=7).take_over()
    with pytest.raises(Fenced):
        door(token=6).take_over()
    assert (door.base / ".deploynaut/fence").read_text() == "7\n"


def test_taking_over_ends_the_older_runs_work_first(door: Door) -> None:
    older = Background(lambda: door(token=1).run(SLOW, timeout=60))
    group = door.leader()
    door(token=2, run="acme/uat#2").take_over()
    assert not group_lives(group)
    older.join()
    assert isinstance(older.error, Fenced)


def test_a_command_with_a_newer_token_takes_over_by_itself(door: Door) -> None:
    older = Background(lambda: door(token=1).run(SLOW, timeout=60))
    group = door.leader()
    assert door(token=2).run(command("echo", "mine"), timeout=30).text == "mine\n"
    assert not group_lives(group)
    older.join()


def test_no_two_runs_are_between_begin_and_end_at_once(door: Door) -> None:
    def work(token: int) -> None:
        taker = door(token=token, run=f"acme/uat#{token}")
        for _ in range(3):
            taker.run(script("sleep 0.05"), timeout=30)

    runs = [Background(lambda token=token: work(token)) for token in (1, 2, 3, 4)]  # type: ignore[misc]
    for run in runs:
        run.join()
    assert all(run.error is None or isinstance(run.error, Fenced) for run in runs)
    assert runs[-1].error is None
    open_tokens: set[str] = set()
    for line in door.journal():
        if line[5] == "begin":
            open_tokens.add(line[1])
        assert len(open_tokens) == 1
        if line[5] == "end":
            open_tokens.discard(line[1])


def test_commands_of_one_run_may_overlap(door: Door) -> None:
    connection = door()
    running = Background(lambda: connection.run(SLOW, timeout=60))
    door.leader()
    assert connection.run(command("echo", "beside"), timeout=10).text == "beside\n"
    connection.stop_work()
    running.join()


def test_a_takeover_that_was_cut_short_is_finished_by_the_next_command(door: Door) -> None:
    older = Background(lambda: door(token=1).run(SLOW, timeout=60))
    group = door.leader()
    (door.base / ".deploynaut/fence").write_text("2\n")
    door(token=2).run(command("true"), timeout=30)
    assert not group_lives(group)
    older.join()


def test_a_stranger_with_a_remembered_number_is_left_alone(door: Door) -> None:
    door().take_over()
    stranger = subprocess.Popen(["sleep", "300"], start_new_session=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    entry = f"1.abc.{stranger.pid}.1.{stranger.pid}.1.{boot}"
    (door.base / ".deploynaut/running" / entry).touch()
    try:
        door(token=2).take_over()
        assert stranger.poll() is None
        assert not (door.base / ".deploynaut/running" / entry).exists()
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("name", ["1.x.0.1.0.1.b", "1.x.-1.1.1.1.b", "nothing", "1.x.1.1.1.1.b", "9.9.9.9.9.9.9.9"])
def test_nonsense_in_the_list_of_commands_is_passed_over(door: Door, name: str) -> None:
    door().take_over()
    (door.base / ".deploynaut/running" / name).touch()
    door(token=2).take_over()


def test_the_fences_directory_is_closed_to_others(connection: Connection, door: Door) -> None:
    connection.run(command("true"), timeout=10)
    room = door.base / ".deploynaut"
    assert room.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in room.iterdir()} >= {"fence", "lock", "journal", "tmp"}


def test_a_link_in_the_place_of_the_fence_is_refused(door: Door, tmp_path: Path) -> None:
    door.base.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (door.base / ".deploynaut").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetUnfit, match="link"):
        door().run(command("true"), timeout=10)


def test_a_fence_that_holds_no_number_is_refused(door: Door) -> None:
    door().take_over()
    (door.base / ".deploynaut/fence").write_text("x; rm -rf /\n")
    with pytest.raises(TargetUnfit, match="no number"):
        door().run(command("true"), timeout=10)


def test_a_base_that_cannot_be_made_is_said(door: Door, tmp_path: Path) -> None:
    (tmp_path / "site").write_text("a file")
    with pytest.raises(TargetUnfit, match=re.escape(str(door.base))):
        door().run(command("true"), timeout=10)


def test_the_journal_tells_who_did_what_in_one_line_each(door: Door) -> None:
    door(token=5, run="acme/uat#42").run(command("echo", "a\n2026-01-01 9 forged"), timeout=10)
    begin, end = door.journal()
    time_, token, run, name, group, word, label = begin
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", time_)
    assert (token, run, word) == ("5", "acme/uat#42", "begin")
    assert int(group) > 1
    assert label.startswith("echo 'a 2026")
    assert end[1:] == ["5", "acme/uat#42", name, group, "end", "0"]


def test_both_kinds_keep_one_fence(tmp_path: Path) -> None:
    local, other = Door("local", tmp_path / "site"), Door("dash", tmp_path / "site")
    older = Background(lambda: other(token=1).run(SLOW, timeout=60))
    group = other.leader()
    local(token=2).take_over()
    assert not group_lives(group)
    older.join()
    assert isinstance(older.error, Fenced)
    (tmp_path / "site/leader").unlink()
    older = Background(lambda: local(token=2).run(SLOW, timeout=60))
    group = local.leader()
    other(token=3).take_over()
    assert not group_lives(group)
    older.join()
    assert isinstance(older.error, Fenced)


# When we are killed

OWNER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from {module} import Door
    from deploynaut.engine.shell import script
    Door(sys.argv[2], Path(sys.argv[3])).__call__().run({what}, timeout=600{more})
"""


def owner(door: Door, what: str, more: str = "") -> subprocess.Popen[bytes]:
    """Another process that runs a command through the same kind of door, to be killed."""
    text = textwrap.dedent(OWNER).format(module=Path(__file__).stem, what=what, more=more)
    words = [sys.executable, "-c", text, str(Path(__file__).parent), door.kind, str(door.base)]
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])})


def test_when_we_are_killed_the_work_ends_by_itself(door: Door) -> None:
    process = owner(door, "script('echo $$ >leader; sleep 300 & sleep 300')")
    group = door.leader()
    process.kill()
    process.wait()
    until(lambda: not group_lives(group))
    door(token=2).take_over()


# Local hands its input over as a file: there is no half of it.
@pytest.mark.parametrize("door", ["dash", "bash"], indirect=True)
def test_when_we_are_killed_while_sending_nothing_is_done_with_half_of_it(door: Door) -> None:
    what = "script('echo $$ >leader; cat >whole && mv whole complete')"
    process = owner(door, what, ", stdin=Path('/dev/zero').open('rb').read(200_000_000)")
    group = door.leader()
    process.kill()
    process.wait()
    until(lambda: not group_lives(group))
    assert not (door.base / "complete").exists()


def test_when_the_supervisor_is_killed_the_next_taker_ends_the_work(door: Door) -> None:
    running = Background(lambda: door().run(SLOW, timeout=60))
    group = door.leader()
    (entry,) = (door.base / ".deploynaut/running").iterdir()
    os.kill(int(entry.name.split(".")[4]), signal.SIGKILL)
    door(token=2).take_over()
    assert not group_lives(group)
    running.join()
    assert running.error is not None


# Files


def test_a_file_is_put_whole_with_its_mode(connection: Connection, door: Door) -> None:
    connection.put(b"first", "notice.html")
    connection.put(os.urandom(300_000), "big file.bin", mode=0o600)
    connection.put(b"", str(door.base / "empty"))
    assert (door.base / "notice.html").read_bytes() == b"first"
    assert (door.base / "notice.html").stat().st_mode & 0o777 == 0o644
    assert (door.base / "big file.bin").stat().st_mode & 0o777 == 0o600
    assert {file.name for file in door.base.iterdir()} == {".deploynaut", "notice.html", "big file.bin", "empty"}


def test_a_put_file_replaces_a_link_and_does_not_write_through_it(connection: Connection, door: Door) -> None:
    connection.put(b"precious", "kept")
    (door.base / "notice.html").symlink_to("kept")
    (door.base / ".notice.html.deploynaut-new").symlink_to("kept")
    connection.put(b"new", "notice.html")
    assert (door.base / "kept").read_bytes() == b"precious"
    assert not (door.base / "notice.html").is_symlink()


@pytest.mark.parametrize("path", ["../outside", "a/../../b", "a\nb", "/etc/../x", "", "a/", "-x"])
def test_a_path_that_leads_away_is_refused(connection: Connection, path: str) -> None:
    with pytest.raises(BadAddress):
        connection.put(b"x", path)


def test_a_directory_that_is_not_there_is_said(connection: Connection) -> None:
    with pytest.raises(CommandFailed, match="nowhere"):
        connection.put(b"x", "nowhere/file")


# What only one kind does


def test_a_local_command_sees_nothing_of_the_workers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYNAUT_SECRET", "hunter2")
    assert "hunter2" not in Door("local", tmp_path / "site")().run(command("env"), timeout=10).text


def test_work_that_cannot_be_ended_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door("local", tmp_path / "site")
    door().take_over()
    lock = (door.base / ".deploynaut/lock").open()
    fcntl.flock(lock, fcntl.LOCK_SH)
    monkeypatch.setattr("deploynaut.engine.connections.fencing.PROOF_SECONDS", 0.2)
    with pytest.raises(StillRunning):
        door(token=2).take_over()


def test_the_recording_connection_is_a_connection() -> None:
    recording = RecordingConnection()
    connection: Connection = recording
    recording.answers("readlink", TimedOut("too long"))
    assert connection.run(command("echo", Secret("x")), timeout=1).ok
    connection.put(b"x", "notice.html", mode=0o600)
    with pytest.raises(TimedOut):
        connection.run(command("readlink", "current"), timeout=1)
    assert recording.acts == ["echo ***", "put notice.html", "readlink current"]


def test_the_last_words_of_a_process_that_ends_just_after_we_looked_are_heard() -> None:
    """A busy machine: nothing comes for half a second, then all of it in the moment before we ask for its end."""
    pipe = subprocess.PIPE
    child = subprocess.Popen(["/bin/sh", "-c", "read word; echo last"], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
    asked: list[bool] = []

    def finished() -> bool:
        asked.append(True)
        if len(asked) == 2 and child.stdin is not None:
            child.stdin.write(b"go\n")
            child.wait()
        return len(asked) > 1

    heard: list[bytes] = []
    kept_input, child.stdin = child.stdin, None
    pump = Pump(child, hear_output=heard.append, hear_errors=heard.append, finished=finished)
    child.stdin = kept_input
    pump.run(lambda: None)
    close(child)
    assert b"".join(heard) == b"last\n"
