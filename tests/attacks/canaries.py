"""Secrets as canaries: the forms in which programs print them, and witnesses that look for them everywhere (W5)."""

from __future__ import annotations

import base64
import json
import os
import shlex
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

Needles = Mapping[bytes, str]
"""What is looked for, with the words that say which canary in which form it is."""


def encodings(secret: str) -> dict[str, str]:
    """The seven forms of S40: as it is, URL, base64 at three alignments, JSON, shell."""
    raw = secret.encode()
    found = {
        "raw": secret,
        "url": quote(secret, safe=""),
        "json": json.dumps(secret)[1:-1],
        "shell": shlex.quote(secret),
    }
    for offset in range(3):
        # The letters of base64 that are the secret's alone; those at its two ends it shares with its neighbours.
        encoded = base64.b64encode(b"x" * offset + raw + b"yyy").decode()
        found[f"base64+{offset}"] = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
    return found


def printed(secret: str) -> list[str]:
    """Lines of output that hold the secret in each form, and base64 wrapped as programs wrap it."""
    raw = secret.encode()
    lines = [f"password={form} end" for name, form in encodings(secret).items() if not name.startswith("base64")]
    lines += [f"Basic {base64.b64encode(b'x' * offset + raw + b'yy').decode()} end" for offset in range(3)]
    return [*lines, base64.encodebytes(raw).decode()]


def needles(canaries: Mapping[str, str]) -> Needles:
    """Every canary in every form."""
    return {
        form.encode(): f"{name} ({encoding})"
        for name, secret in canaries.items()
        for encoding, form in encodings(secret).items()
    }


def hits(content: bytes, wanted: Needles) -> list[str]:
    """The canaries that are in there."""
    return sorted({name for needle, name in wanted.items() if needle in content})


def in_files(roots: Iterable[Path], wanted: Needles, *, but: Iterable[Path] = ()) -> list[str]:
    """The canaries in files below the roots; `but`: folders that hold secrets by right."""
    left_out = tuple(but)
    found = []
    for root in roots:
        for path in sorted(root.rglob("*")):
            if any(path.is_relative_to(folder) for folder in left_out):
                continue
            with suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    found += [f"{path}: {name}" for name in hits(path.read_bytes(), wanted)]
    return found


def in_database(path: Path, wanted: Needles) -> list[str]:
    """The canaries in a dump of an SQLite database: a long value lies in pieces in the file itself."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
        dump = "\n".join(database.iterdump()).encode()
    return [f"dump of {path.name}: {name}" for name in hits(dump, wanted)]


@dataclass
class Watcher:
    """Looks some thirty times a second at every process and at the folders where a key could lie for a moment.

    `seen`: canaries in an argument list, an environment (but of the processes in `told`, which were started with their
    settings there), a file that others could read, or a file descriptor that has a name. `key_files`: private files
    that were seen, with mode 0600. `samples`: how often it looked.
    """

    wanted: Needles
    folders: tuple[Path, ...]
    told: frozenset[int] = frozenset()
    seen: set[str] = field(default_factory=set)
    key_files: set[Path] = field(default_factory=set)
    samples: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watcher:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.03):
            self.look()

    def look(self) -> None:
        """One sample."""
        self.samples += 1
        for pid in _processes():
            with suppress(OSError):
                self._note(f"{pid}/cmdline", (pid / "cmdline").read_bytes())
                if int(pid.name) not in self.told:
                    self._note(f"{pid}/environ", (pid / "environ").read_bytes())
                if self.samples % 10 == 0:
                    self._look_at_open_files(pid)
        for folder in self.folders:
            with suppress(OSError):  # a folder that went away while it was listed
                for path in list(folder.rglob("*")):
                    self._look_at_file(path)

    def _look_at_file(self, path: Path) -> None:
        try:
            facts = path.lstat()
            there = stat.S_ISREG(facts.st_mode) and facts.st_size < 100_000 and hits(path.read_bytes(), self.wanted)
        except OSError:
            return
        if there:
            if path.parent.name.endswith(".private") and stat.S_IMODE(facts.st_mode) == 0o600:
                self.key_files.add(path)
            else:
                self.seen.add(f"{path} (mode {stat.S_IMODE(facts.st_mode):o})")

    def _look_at_open_files(self, pid: Path) -> None:
        """A file that has lost its name is still open for whoever may look into the process."""
        for descriptor in (pid / "fd").iterdir():
            where = os.readlink(descriptor)
            if where.endswith("(deleted)") and not where.startswith("/memfd:key"):
                with descriptor.open("rb") as file:
                    self._note(f"{pid}: {where}", file.read(100_000))

    def _note(self, where: str, content: bytes) -> None:
        self.seen |= {f"{where}: {name}" for name in hits(content, self.wanted)}


def holders_of_keys(wanted: Needles) -> list[int]:
    """Processes that hold one of these keys in nameless memory: ssh and who looks after it."""
    return [int(pid.name) for pid in _processes() if any(hits(key, wanted) for key in _keys_held_by(pid))]


def _keys_held_by(pid: Path) -> Iterator[bytes]:
    with suppress(OSError):
        for descriptor in list((pid / "fd").iterdir()):
            if os.readlink(descriptor).startswith("/memfd:key"):
                yield descriptor.read_bytes()


def _processes() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
