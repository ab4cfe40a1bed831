"""Real hosts for the tests: sshd processes on loopback, each with its own host key, port and base directory."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploynaut.engine.connections import Host, OpenSSH

SITE_USER = "dnsite"


@dataclass
class SshdHost:
    """One sshd on loopback. `base` is its environment's directory, owned by `user`; `key` is the one it accepts."""

    directory: Path
    port: int
    user: str
    host_key: str
    key: bytes
    process: subprocess.Popen[bytes] | None = None
    connections: list[OpenSSH] = field(default_factory=list)
    address: str = "127.0.0.1"

    @property
    def base(self) -> Path:
        """The environment's directory on this host."""
        return self.directory / "site"

    @property
    def host(self) -> Host:
        """What a connection needs to know of it."""
        return Host(self.address, self.port, self.user, self.host_key)

    def connect(
        self,
        *,
        token: int = 1,
        run: str = "acme/uat#1",
        guard: Callable[[], None] = lambda: None,
        base: Path | None = None,
        host: Host | None = None,
    ) -> OpenSSH:
        """A connection with the right key, closed when the test ends."""
        scratch = self.directory / "scratch"
        scratch.mkdir(mode=0o700, exist_ok=True)
        connection = OpenSSH(host or self.host, str(base or self.base), token, run, self.key, scratch, guard)
        self.connections.append(connection)
        return connection

    def journal(self, base: Path | None = None) -> list[list[str]]:
        """The lines of the journal: time, token, run, id, group, `begin` or `end`, and the rest."""
        text = ((base or self.base) / ".deploynaut/journal").read_text()
        return [line.split(" ", 6) for line in text.splitlines()]

    def start(self, **settings: str) -> None:
        """Start sshd, with settings of its own on top. Returns when it answers."""
        config = self.directory / "sshd_config"
        config.write_text(self._config(settings))
        with (self.directory / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_program("sshd"), "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def stop(self) -> None:
        """Kill the listening sshd and every session of it, as when a host loses power."""
        if self.process:
            for pid in [*_descendants_with_title(self.process.pid), self.process.pid]:
                _kill(pid)
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """Let go of everything."""
        for connection in self.connections:
            connection.close()
        self.stop()

    def _config(self, settings: dict[str, str]) -> str:
        values = {
            "Port": str(self.port),
            "ListenAddress": self.address,
            "HostKey": str(self.directory / "host_key"),
            "AuthorizedKeysFile": str(self.directory / "authorized_keys"),
            "PidFile": "none",
            "UsePAM": "no",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "UseDNS": "no",
            "PrintMotd": "no",
            "LogLevel": "ERROR",
            **settings,
        }
        return "".join(f"{name} {value}\n" for name, value in values.items())

    def _wait(self) -> None:
        end = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection((self.address, self.port), timeout=2) as probe:
                    assert probe.recv(4) == b"SSH-"
                return
            except (OSError, AssertionError):
                if time.monotonic() > end or (self.process and self.process.poll() is not None):
                    pytest.fail(f"sshd does not answer: {(self.directory / 'sshd.log').read_text()}")
                time.sleep(0.02)


SshdHosts = Callable[[int], list[SshdHost]]


@pytest.fixture(scope="session")
def site_user() -> str:
    """The user that sites belong to on the test hosts: not root, no password, /bin/sh."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        pwd.getpwnam(SITE_USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", SITE_USER], check=False, capture_output=True)
        # `*` is "no password"; `!` would be "locked", which sshd refuses without PAM.
        subprocess.run(["usermod", "--password", "*", SITE_USER], check=True)
    return SITE_USER


@pytest.fixture(scope="session")
def sshd_hosts(site_user: str) -> Iterator[SshdHosts]:
    """A factory: `sshd_hosts(3)` gives three running hosts. They live until the session ends."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with ExitStack() as stack:

        def make(count: int) -> list[SshdHost]:
            hosts = [make_host(site_user) for _ in range(count)]
            for host in hosts:
                stack.callback(shutil.rmtree, host.directory, ignore_errors=True)
                stack.callback(host.close)
                host.start()
            return hosts

        yield make


@pytest.fixture(scope="session")
def _shared_sshd(sshd_hosts: SshdHosts) -> SshdHost:
    return sshd_hosts(1)[0]


@pytest.fixture
def sshd(_shared_sshd: SshdHost) -> Iterator[SshdHost]:
    """One running host with an empty base directory. The sshd itself is shared by the tests of a session."""
    shutil.rmtree(_shared_sshd.base, ignore_errors=True)
    _own(_shared_sshd.base, _shared_sshd.user)
    yield _shared_sshd
    while _shared_sshd.connections:
        _shared_sshd.connections.pop().close()


@pytest.fixture
def own_sshd(sshd_hosts: SshdHosts) -> Iterator[SshdHost]:
    """A host of this test alone, for tests that stop it or change its settings."""
    host = sshd_hosts(1)[0]
    yield host
    host.close()


def make_host(user: str) -> SshdHost:
    """A host that is not started yet: keys made, a free port chosen."""
    # Not below pytest's own directory: that one is closed to other users.
    directory = Path(tempfile.mkdtemp(prefix="dn-sshd-"))
    directory.chmod(0o755)
    for name in ("host_key", "client_key"):
        words = [_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(directory / name)]
        subprocess.run(words, check=True)
    shutil.copy(directory / "client_key.pub", directory / "authorized_keys")
    host_key = " ".join((directory / "host_key.pub").read_text().split()[:2])
    host = SshdHost(directory, _free_port(), user, host_key, (directory / "client_key").read_bytes())
    _own(host.base, user)
    return host


def _own(directory: Path, user: str) -> None:
    directory.mkdir(mode=0o755)
    if os.getuid() == 0:
        shutil.chown(directory, user)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        package = "openssh-server" if name == "sshd" else "openssh-client"
        pytest.fail(f"The program {name} is missing; these tests need a real one. Install the package {package}.")
    return found


def _descendants_with_title(parent: int) -> list[int]:
    """The sshd processes below `parent`: its connections, not the commands that run in them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
                title = (entry / "comm").read_text().strip()
            except OSError:
                continue
            if int(fields[1]) == parent and title.startswith("sshd"):
                found += [*_descendants_with_title(int(entry.name)), int(entry.name)]
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
