"""OpenSSH connections to a real sshd: who is let in, who is refused, and what is left when a connection dies."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploynaut.engine.connections import (
    ConnectionLost,
    Fenced,
    Host,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
    KeyRefused,
    TargetUnfit,
    TimedOut,
    fetch_host_key,
    fingerprint,
    sweep,
)
from deploynaut.engine.connections.processes import group_lives, look
from deploynaut.engine.shell import command, script

if TYPE_CHECKING:
    from tests.real.conftest import SshdHost, SshdHosts

pytestmark = pytest.mark.real

SLOW = script('echo $$ >"$1"; sleep 300 & sleep 300', "leader")


def until(happened: Callable[[], bool], *, seconds: float = 20) -> None:
    """Waits for something that must happen soon."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.01)


def leader(host: SshdHost) -> int:
    """The process group of SLOW, as soon as it has said it."""
    file = host.base / "leader"
    until(lambda: file.exists() and file.read_text().strip() != "")
    process = look(int(file.read_text()))
    assert process is not None
    return process.group


def in_background(call: Callable[[], object]) -> Callable[[], BaseException | None]:
    """Calls it in another thread; the answer waits for it and gives what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def outcome() -> BaseException | None:
        thread.join(timeout=60)
        assert not thread.is_alive()
        return raised[0] if raised else None

    return outcome


# Everyday use


def test_commands_run_as_the_sites_user_in_its_base(sshd: SshdHost) -> None:
    connection = sshd.connect()
    assert connection.run(command("id", "-un"), timeout=20).text.strip() == sshd.user
    assert connection.run(command("pwd"), timeout=20).text.strip() == str(sshd.base)
    assert connection.name == f"127.0.0.1:{sshd.port}"


def test_one_connection_serves_many_commands(sshd: SshdHost) -> None:
    connection = sshd.connect()
    masters = {connection.run(script("echo $SSH_CONNECTION"), timeout=20).text for _ in range(5)}
    assert len(masters) == 1


def test_twenty_commands_at_once_share_eight_channels(sshd: SshdHost) -> None:
    connection = sshd.connect()
    with ThreadPoolExecutor(20) as pool:
        results = pool.map(lambda n: connection.run(script('sleep 0.2; echo "$1"', str(n)), timeout=60), range(20))
        assert [int(result.text) for result in results] == list(range(20))


def test_a_big_file_arrives_whole_and_comes_back_whole(sshd: SshdHost, tmp_path: Path) -> None:
    payload = tmp_path / "payload"
    payload.write_bytes(os.urandom(1_000_003) * 30)
    back = tmp_path / "back"
    with back.open("wb") as file:
        sshd.connect().run(command("cat"), timeout=60, stdin=payload, output_to=file)
    assert back.read_bytes() == payload.read_bytes()


def test_a_file_is_put_by_the_sites_user(sshd: SshdHost) -> None:
    sshd.connect().put(b"<h1>Back soon</h1>", "maintenance.html")
    assert (sshd.base / "maintenance.html").read_bytes() == b"<h1>Back soon</h1>"
    assert (sshd.base / "maintenance.html").owner() == sshd.user


def test_255_is_the_commands_own_status(sshd: SshdHost) -> None:
    assert sshd.connect().run(script("exit 255"), timeout=20, check=False).status == 255


def test_a_connection_that_is_not_used_costs_nothing(sshd: SshdHost) -> None:
    connection = sshd.connect(host=replace(sshd.host, port=1))
    connection.close()
    connection.close()


# Who is let in


def test_the_wrong_host_key_is_refused_before_any_log_in(own_sshd: SshdHost, sshd: SshdHost) -> None:
    own_sshd.stop()
    own_sshd.start(LogLevel="VERBOSE")
    connection = own_sshd.connect(host=replace(own_sshd.host, host_key=sshd.host_key))
    with pytest.raises(HostKeyChanged) as caught:
        connection.run(command("touch", "acted"), timeout=20)
    assert fingerprint(sshd.host_key) in str(caught.value)
    assert fingerprint(own_sshd.host_key) in str(caught.value)
    log = (own_sshd.directory / "sshd.log").read_text()
    assert not re.search(r"Accepted|Failed|userauth|Postponed", log)
    assert not (own_sshd.base / ".deploynaut").exists()


def test_a_host_with_another_kind_of_key_is_refused(sshd: SshdHost) -> None:
    pinned = "ecdsa-sha2-nistp256 " + "A" * 140
    with pytest.raises(HostKeyChanged):
        sshd.connect(host=replace(sshd.host, host_key=pinned)).run(command("true"), timeout=20)


def test_one_of_two_pinned_keys_is_enough(sshd: SshdHost, sshd_hosts: SshdHosts) -> None:
    both = f"{sshd_hosts(1)[0].host_key}\n{sshd.host_key}\n"
    assert sshd.connect(host=replace(sshd.host, host_key=both)).run(command("true"), timeout=20).ok


def test_a_host_without_a_confirmed_key_is_not_contacted(sshd: SshdHost) -> None:
    with pytest.raises(HostKeyUnknown, match="confirm"):
        sshd.connect(host=replace(sshd.host, host_key="")).run(command("true"), timeout=20)


def test_a_key_that_the_host_does_not_know_is_said(sshd: SshdHost, sshd_hosts: SshdHosts) -> None:
    stranger = sshd_hosts(1)[0]
    connection = replace(stranger, port=sshd.port, host_key=sshd.host_key).connect()
    with pytest.raises(KeyRefused, match="does not accept our key"):
        connection.run(command("true"), timeout=20)


def test_a_text_that_is_no_key_is_refused_in_time(sshd: SshdHost) -> None:
    with pytest.raises(KeyRefused):
        replace(sshd, key=b"no key", connections=[]).connect().run(command("true"), timeout=20)


def test_a_closed_port_is_said_at_once(sshd: SshdHost) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = replace(sshd.host, port=free.getsockname()[1])
    with pytest.raises(HostUnreachable, match="refused"):
        sshd.connect(host=host).run(command("true"), timeout=20)


def test_a_name_without_an_address_is_said(sshd: SshdHost) -> None:
    with pytest.raises(HostUnreachable, match=r"nowhere\.invalid"):
        sshd.connect(host=replace(sshd.host, address="nowhere.invalid")).run(command("true"), timeout=20)


def test_the_guard_is_asked_while_a_host_says_nothing(sshd: SshdHost) -> None:
    class Aborted(Exception):
        pass

    end = time.monotonic() + 1

    def guard() -> None:
        if time.monotonic() > end:
            raise Aborted

    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = replace(sshd.host, port=silent.getsockname()[1])
        with pytest.raises(Aborted):
            sshd.connect(host=host, guard=guard).run(command("true"), timeout=20)


def test_a_busy_sshd_is_asked_again(own_sshd: SshdHost) -> None:
    own_sshd.stop()
    own_sshd.start(MaxStartups="1:100:1")
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda _: own_sshd.connect().run(command("true"), timeout=60), range(8))
        assert all(result.ok for result in results)


def test_a_user_without_a_shell_is_said(own_sshd: SshdHost) -> None:
    own_sshd.stop()
    own_sshd.start(ForceCommand="echo This account is not available.; exit 1")
    with pytest.raises(TargetUnfit, match="not available"):
        own_sshd.connect().run(command("true"), timeout=20)


def test_what_a_log_in_shell_says_first_is_not_taken_for_output(own_sshd: SshdHost) -> None:
    own_sshd.stop()
    own_sshd.start(ForceCommand='echo Welcome; echo Mind the gap >&2; eval "$SSH_ORIGINAL_COMMAND"')
    result = own_sshd.connect().run(script("echo out; echo err >&2"), timeout=20)
    assert (result.output, result.errors) == (b"out\n", b"err\n")


def test_a_host_that_answers_with_a_flood_is_given_up(own_sshd: SshdHost) -> None:
    own_sshd.stop()
    own_sshd.start(ForceCommand="cat /dev/zero")
    connection = own_sshd.connect()
    with pytest.raises((ConnectionLost, TargetUnfit)):
        connection.run(command("true"), timeout=30)


# What is used of this machine: nothing


def test_the_users_own_configuration_and_agent_are_not_used(
    sshd: SshdHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, home = tmp_path / "used", tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    hostile = f"Host *\n ProxyCommand touch {marker}\n ForwardAgent yes\n LocalCommand touch {marker}\n"
    (home / ".ssh/config").write_text(hostile + " PermitLocalCommand yes\n StrictHostKeyChecking no\n")
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(tmp_path / "agent"))
    agent.listen()
    agent.setblocking(False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
    monkeypatch.setenv("DISPLAY", ":0")
    shown = sshd.connect().run(script("env; ls -a"), timeout=20).text
    assert not marker.exists()
    assert "SSH_AUTH_SOCK" not in shown
    assert "DISPLAY" not in shown
    with pytest.raises(BlockingIOError):
        agent.accept()
    agent.close()


def test_the_private_key_is_in_no_argument_list_environment_or_file(sshd: SshdHost) -> None:
    connection = sshd.connect()
    finished = in_background(lambda: connection.run(SLOW, timeout=60))
    leader(sshd)
    needle = sshd.key.splitlines()[2]
    shown = [path for path in texts_of_processes() if needle in contents(path)]
    files = [path for place in ("/dev/shm", "/tmp") for path in private_files(Path(place)) if needle in contents(path)]
    connection.stop_work()
    finished()
    assert shown == []
    assert files == [sshd.directory / "client_key"]


def texts_of_processes() -> Iterator[Path]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield entry / "cmdline"
            yield entry / "environ"


def private_files(place: Path) -> Iterator[Path]:
    for parent in [place, *place.glob("dn-*"), *place.glob("dn-*/scratch")]:
        yield from (path for path in parent.iterdir() if path.is_file() and path.stat().st_size < 1_000_000)


def contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_nothing_is_left_here_when_a_connection_is_closed(sshd: SshdHost) -> None:
    before = rooms()
    connection = sshd.connect()
    connection.run(command("true"), timeout=20)
    (room,) = rooms() - before
    assert room.stat().st_mode & 0o777 == 0o700
    connection.close()
    until(lambda: room not in rooms())
    until(lambda: [pid for pid, words in argument_lists() if str(room) in words] == [])


def rooms() -> set[Path]:
    return set(Path("/dev/shm").glob(f"dn-{os.getpid()}-*"))


def argument_lists() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name), contents(entry / "cmdline").decode("utf-8", "replace")


def test_leftovers_of_dead_processes_are_swept_and_of_living_ones_kept(tmp_path: Path) -> None:
    dead, foreign = tmp_path / "dn-1-1-abc", tmp_path / "dn-notes-of-mine-x"
    me = look(os.getpid())
    assert me is not None
    living = tmp_path / f"dn-{os.getpid()}-{me.start}-abc"
    for directory in (dead, foreign, living):
        directory.mkdir()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {foreign.name, living.name}


# The end of work


def test_a_takeover_from_another_connection_ends_the_work(sshd: SshdHost) -> None:
    finished = in_background(lambda: sshd.connect(token=1).run(SLOW, timeout=60))
    group = leader(sshd)
    taker = sshd.connect(token=2, run="acme/uat#2")
    taker.take_over()
    assert not group_lives(group)
    assert isinstance(finished(), Fenced)
    with pytest.raises(Fenced):
        sshd.connect(token=1).run(command("true"), timeout=20)


def test_a_timeout_is_proven_on_the_host(sshd: SshdHost) -> None:
    with pytest.raises(TimedOut):
        sshd.connect().run(SLOW, timeout=1)
    assert not group_lives(leader_group(sshd))


def leader_group(host: SshdHost) -> int:
    return int(host.journal()[-1][4])


def test_a_daemon_that_a_command_leaves_keeps_nobody_waiting(sshd: SshdHost) -> None:
    connection = sshd.connect()
    begun = time.monotonic()
    daemon = script("setsid sleep 30 & echo $! >>daemon; echo started")
    try:
        assert connection.run(daemon, timeout=60).text == "started\n"
        assert connection.run(daemon, timeout=60, stdin=b"x" * 300_000).text == "started\n"
        assert time.monotonic() - begun < 6
    finally:
        for line in (sshd.base / "daemon").read_text().split():
            os.kill(int(line), signal.SIGKILL)


def test_when_the_channels_client_is_killed_the_work_ends(sshd: SshdHost) -> None:
    connection = sshd.connect()
    finished = in_background(lambda: connection.run(SLOW, timeout=60))
    group = leader(sshd)
    words = the_master(sshd)[1]
    room = words[words.index("-S") + 1]
    (client,) = [pid for pid, words in argument_lists() if f"\0-S\0{room}\0" in words and "\0-M\0" not in words]
    os.kill(client, signal.SIGKILL)
    assert isinstance(finished(), ConnectionLost)
    until(lambda: not group_lives(group))
    assert connection.run(command("echo", "again"), timeout=30).text == "again\n"


def the_master(host: SshdHost) -> tuple[int, list[str]]:
    """The process and the words of the one ssh that is logged in to the host."""
    found = [(pid, words.split("\0")) for pid, words in argument_lists() if f"\0-p\0{host.port}\0" in words]
    (master,) = [(pid, words) for pid, words in found if words[0].endswith("/ssh")]
    return master


def test_when_the_master_dies_the_next_command_first_ends_what_is_left(sshd: SshdHost) -> None:
    connection = sshd.connect()
    finished = in_background(lambda: connection.run(SLOW, timeout=60))
    group = leader(sshd)
    os.kill(the_master(sshd)[0], signal.SIGKILL)
    assert isinstance(finished(), ConnectionLost)
    assert connection.run(command("echo", "again"), timeout=30).text == "again\n"
    assert not group_lives(group)


def test_when_the_host_loses_every_connection_the_outcome_is_unknown(own_sshd: SshdHost) -> None:
    connection = own_sshd.connect()
    finished = in_background(lambda: connection.run(SLOW, timeout=60))
    group = leader(own_sshd)
    own_sshd.stop()
    assert isinstance(finished(), ConnectionLost)
    with pytest.raises(HostUnreachable):
        connection.run(command("true"), timeout=5)
    own_sshd.start()
    assert connection.run(command("echo", "back"), timeout=30).text == "back\n"
    assert not group_lives(group)


def test_a_host_that_falls_silent_is_noticed_within_thirty_seconds(own_sshd: SshdHost) -> None:
    connection = own_sshd.connect()
    connection.run(command("true"), timeout=20)
    finished = in_background(lambda: connection.run(SLOW, timeout=100))
    group = leader(own_sshd)
    frozen = sessions(own_sshd)
    assert frozen
    began = time.monotonic()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert isinstance(finished(), ConnectionLost)
        assert time.monotonic() - began < 32
        own_sshd.connect(token=2).take_over()
        assert not group_lives(group)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGKILL)


def sessions(host: SshdHost) -> list[int]:
    """The sshd processes behind the connections that are open now."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and contents(entry / "comm").startswith(b"sshd"):
            parents[int(entry.name)] = int(contents(entry / "stat").rpartition(b") ")[2].split()[1])
    assert host.process is not None
    first = [pid for pid, parent in parents.items() if parent == host.process.pid]
    return [*first, *(pid for pid, parent in parents.items() if parent in first)]


OWNER = """
    import sys
    from pathlib import Path
    from deploynaut.engine.connections import Host, OpenSSH
    from deploynaut.engine.shell import script
    port, user, host_key, base, key, scratch = sys.argv[1:]
    connection = OpenSSH(Host("127.0.0.1", int(port), user, host_key), base, 1, "acme/uat#1",
                         Path(key).read_bytes(), Path(scratch))
    connection.run(script('echo $$ >leader; sleep 300 & sleep 300'), timeout=600)
"""


def test_when_we_are_killed_the_work_the_master_and_its_room_are_gone(sshd: SshdHost, tmp_path: Path) -> None:
    words = [sys.executable, "-c", textwrap.dedent(OWNER), str(sshd.port), sshd.user, sshd.host_key, str(sshd.base)]
    owner = subprocess.Popen(
        [*words, str(sshd.directory / "client_key"), str(tmp_path)], env={"PYTHONPATH": os.getcwd()}
    )
    group = leader(sshd)
    (room,) = Path("/dev/shm").glob(f"dn-{owner.pid}-*")
    owner.kill()
    owner.wait()
    until(lambda: not group_lives(group))
    until(lambda: not room.exists())
    until(lambda: not [pid for pid, shown in argument_lists() if str(room) in shown])


def test_several_hosts_are_several_fences(sshd_hosts: SshdHosts) -> None:
    one, two = sshd_hosts(2)
    one.connect(token=9).take_over()
    assert two.connect(token=1).run(command("echo", "mine"), timeout=20).text == "mine\n"


# Adding a target


def test_the_key_a_host_shows_can_be_compared_by_its_fingerprint(sshd: SshdHost) -> None:
    shown = fetch_host_key("127.0.0.1", sshd.port)
    assert [key.line for key in shown] == [sshd.host_key]
    listed = subprocess.run(["ssh-keygen", "-l", "-f", sshd.directory / "host_key.pub"], capture_output=True, text=True)
    assert shown[0].fingerprint == fingerprint(sshd.host_key) == listed.stdout.split()[1]


def test_where_no_sshd_answers_there_is_no_key() -> None:
    with pytest.raises(HostUnreachable, match="shows no host key"):
        fetch_host_key("127.0.0.1", 1)


def test_only_modern_algorithms_are_offered(sshd: SshdHost) -> None:
    connection = sshd.connect()
    connection.run(command("true"), timeout=20)
    program, *words = the_master(sshd)[1]
    probe = subprocess.run([program, "-G", *words[:-1]], capture_output=True, text=True)
    chosen = dict(line.split(" ", 1) for line in probe.stdout.splitlines() if " " in line)
    assert chosen["kexalgorithms"].startswith("curve25519-sha256")
    for kind in ("kexalgorithms", "ciphers", "macs", "hostkeyalgorithms", "pubkeyacceptedalgorithms"):
        assert not re.search(r"cbc|arcfour|3des|md5|group1-|group14-sha1|exchange-sha1", chosen[kind]), kind
    assert "ssh-rsa" not in chosen["hostkeyalgorithms"].split(",")
    for name in ("forwardagent", "forwardx11", "compression", "permitlocalcommand", "updatehostkeys"):
        assert chosen[name] in ("no", "false"), name
    assert chosen["stricthostkeychecking"] in ("true", "yes")


def test_without_the_ssh_program_the_package_is_named(sshd: SshdHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Exception, match="openssh-client"):
        sshd.connect().run(command("true"), timeout=20)


def test_hosts_are_checked_when_they_are_named(sshd: SshdHost) -> None:
    with pytest.raises(ValueError, match="no host name"):
        Host("-oProxyCommand=id", 22, "deploy", sshd.host_key)
