"""One sshd on loopback with a user who is not root: the host that the benchmarks release to."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

USER = "dnsite"


@dataclass(frozen=True)
class Loopback:
    """A running sshd. `key`: the private key it accepts. `host_keys`: its public host keys, by kind."""

    directory: Path
    port: int
    user: str
    key: Path
    host_keys: dict[str, str]

    def own(self, path: Path) -> Path:
        """A new directory that belongs to the user."""
        path.mkdir(parents=True)
        shutil.chown(path, self.user)
        return path

    def as_user(self, *words: str) -> bytes:
        """Run a program as the user; gives its output."""
        found = pwd.getpwnam(self.user)
        identity = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        environment = {"PATH": "/usr/bin:/bin", "HOME": found.pw_dir, "LC_ALL": "C"}
        return subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True, **identity).stdout  # type: ignore[call-overload, no-any-return]


@contextlib.contextmanager
def agent(key: Path) -> Iterator[str]:
    """An ssh-agent that holds the key; gives its socket."""
    socket_ = key.parent / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(socket_)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not socket_.exists():
            time.sleep(0.02)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket_)}
        subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, stderr=subprocess.DEVNULL)
        yield str(socket_)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def loopback(directory: Path) -> Iterator[Loopback]:
    """Start sshd in a directory of its own; end it, and every session of it, after the block."""
    directory.mkdir(parents=True)
    keys = {kind: directory / f"host_{kind}" for kind in ("ed25519", "ecdsa")}
    for kind, path in {**keys, "client": directory / "client"}.items():
        kind = "ecdsa" if kind == "client" else kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-m", "PEM", "-f", str(path)], check=True)
    port = _free_port()
    config = directory / "sshd_config"
    config.write_text(_config(directory, port=port, host_keys=list(keys.values())))
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([str(shutil.which("sshd", path="/usr/sbin:/usr/bin")), "-D", "-f", str(config)])
    try:
        _wait(port)
        public = {kind: " ".join(path.with_suffix(".pub").read_text().split()[:2]) for kind, path in keys.items()}
        yield Loopback(directory, port, _user(), directory / "client", public)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _config(directory: Path, *, port: int, host_keys: list[Path]) -> str:
    accepted = directory / "accepted"
    shutil.copy(directory / "client.pub", accepted)
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "AuthorizedKeysFile": accepted,
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "UseDNS": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PrintMotd": "no",
        "LogLevel": "ERROR",
    }
    lines = [f"{name} {value}" for name, value in settings.items()] + [f"HostKey {path}" for path in host_keys]
    return "\n".join(lines) + "\n"


def _user() -> str:
    """Somebody who is not root, made when missing."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    if USER not in {entry.pw_name for entry in pwd.getpwall()}:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", USER], check=True)
        # `*` is "no password"; `!` would be "locked", which sshd refuses without PAM.
        subprocess.run(["usermod", "--password", "*", USER], check=True)
    return USER


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as found:
            if found.recv(4) == b"SSH-":
                return
        if time.monotonic() > end:
            raise SystemExit("sshd did not answer within 20 s.")
        time.sleep(0.05)
