"""A synthetic site in a git repository: the same 12,000 files, 120 MB, and commits each time."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

FILES = 12_000
PHOTOS = 300
PHOTO_BYTES = 150_000
TEXT_BYTES = 6_400
COMMITS = 12

_WORDS = [f"w{number:x}{'aeiou'[number % 5]}{number % 97}" for number in range(3000)]


def make(directory: Path, *, changes: int) -> list[str]:
    """A bare repository with some history, then `changes` commits of one changed file each. Gives their ids."""
    _git(directory, "init", "--quiet", "--bare", "--initial-branch=main", str(directory))
    _git(directory, "fast-import", "--quiet", "--force", stdin=b"".join(_stream(changes)))
    _git(directory, "repack", "-a", "-d", "--quiet")
    return _git(directory, "rev-list", "--reverse", "main").split()[-changes:]


def _stream(changes: int) -> Iterator[bytes]:
    chance = random.Random(7)  # noqa: S311
    paths = [_path(number) for number in range(FILES)]
    yield _commit("All of it", 0)
    for number, path in enumerate(paths):
        yield _file(path, _content(chance, photo=number < PHOTOS))
    for number in range(1, COMMITS + changes):
        yield _commit(f"Change {number}", number)
        yield _file(chance.choice(paths[PHOTOS:]), _content(chance, photo=False))


def _path(number: int) -> str:
    kind = "photos" if number < PHOTOS else f"vendor/package{number % 60:02d}/src/part{number % 9}"
    return f"{kind}/file{number:05d}.{'jpg' if number < PHOTOS else 'php'}"


def _content(chance: random.Random, *, photo: bool) -> bytes:
    if photo:
        return chance.randbytes(PHOTO_BYTES)
    size = int(TEXT_BYTES * chance.uniform(0.1, 1.9))
    text = " ".join(chance.choices(_WORDS, k=size // 5))
    return text[:size].encode("ascii")


def _commit(message: str, number: int) -> bytes:
    who = f"Ana Reid <ana@acme.example> {1_767_600_000 + 60 * number} +0000"
    return f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n{message}\n".encode()


def _file(path: str, content: bytes) -> bytes:
    return b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(content), content)


def _git(directory: Path, *words: str, stdin: bytes = b"") -> str:
    directory.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    done = subprocess.run(
        ["git", *words], cwd=directory, env=environment, input=stdin, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()
