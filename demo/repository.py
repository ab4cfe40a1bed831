"""Build the demo's git repository: the same commits with the same ids each time.

    python demo/repository.py DIRECTORY

One `git fast-import` writes everything, so it takes a moment only and asks nothing of the user's git configuration.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo.history import HISTORY, Commit, Edit, site_files

# What a demo or a test deploys, by what it shows.
GOOD = "1.0"
WITH_MIGRATION = "1.1"
BETTER = "1.2"
LIGHT_TAG = "1.1.1"
SMOKE_TEST_FAILS = "broken/search-500"  # after a migration that changed every title and removed a row
MIGRATION_FAILS = "broken/migration"  # halfway: after every second title was changed
PRODUCTION_FAILS = "broken/contact"  # passes the tests of uat; production has one more
SLOW = "slow/migration"  # its migration takes about 20 s, so that it can be aborted


def build(directory: Path) -> dict[str, str]:
    """Make the bare repository in `directory` (made if missing); gives branch and tag names with their commit ids.

    Calling it again changes nothing: the ids depend on `demo/` alone.
    """
    new = directory.with_name(f"{directory.name}.new")
    if not directory.exists():
        # Under another name first: what has the final name is complete, also after Ctrl-C.
        _import(new)
        new.rename(directory)
    else:
        _import(directory)
    return names(directory)


def _import(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    _git(directory, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    _git(directory, "fast-import", "--quiet", "--force", stdin=b"".join(_stream()))


def names(directory: Path) -> dict[str, str]:
    """Branch and tag names of the repository with their commit ids (tags peeled)."""
    form = "%(refname:strip=2) %(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    listed = _git(directory, "for-each-ref", f"--format={form}", "refs/heads", "refs/tags").decode()
    return dict(line.split(" ") for line in listed.splitlines())


class EditDoesNotFit(ValueError):
    """An edit of demo/history.py does not match the file it edits."""


@dataclass
class _Trees:
    """The files of each branch and tag while the history is being written."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def after(self, commit: Commit) -> dict[str, bytes]:
        parent = self.files.get(commit.start or commit.branch)
        files = dict(parent) if parent is not None else site_files()
        files |= {name: path.read_bytes() for name, path in commit.files}
        for edit in commit.edits:
            files[edit.path] = _edited(files[edit.path], edit)
        for name in filter(None, (commit.branch, commit.tag)):
            self.files[name] = files
        return files


def _edited(content: bytes, edit: Edit) -> bytes:
    old = edit.old.encode()
    if content.count(old) != 1:
        raise EditDoesNotFit(
            f"{edit.path} holds {edit.old!r} {content.count(old)} times, not once: mend demo/history.py."
        )
    return content.replace(old, edit.new.encode())


def _stream() -> Iterator[bytes]:
    trees = _Trees()
    for mark, commit in enumerate(HISTORY, start=1):
        yield from _commit(commit, mark=mark, files=trees.after(commit))
        if commit.tag:
            yield from _tag(commit, mark=mark)
    yield b"done\n"


def _commit(commit: Commit, *, mark: int, files: dict[str, bytes]) -> Iterator[bytes]:
    who = f"{commit.author} {int(commit.at.timestamp())} +1200"
    yield f"commit refs/heads/{commit.branch}\nmark :{mark}\nauthor {who}\ncommitter {who}\n".encode()
    yield _data(f"{commit.message}\n".encode())
    if parent := _parent(commit, mark=mark):
        yield f"from :{parent}\n".encode()
    yield b"deleteall\n"
    for name, content in files.items():
        yield f"M 100644 inline {name}\n".encode() + _data(content)


def _parent(commit: Commit, *, mark: int) -> int:
    """The mark of the commit before this one, 0 for the first: the newest of its branch, or the one it starts at."""
    for number, earlier in reversed(list(enumerate(HISTORY[: mark - 1], start=1))):
        if earlier.tag == commit.start if commit.start else earlier.branch == commit.branch:
            return number
    return 0


def _tag(commit: Commit, *, mark: int) -> Iterator[bytes]:
    if not commit.tag_message:
        yield f"reset refs/tags/{commit.tag}\nfrom :{mark}\n\n".encode()
        return
    yield f"tag {commit.tag}\nfrom :{mark}\ntagger {commit.author} {int(commit.at.timestamp()) + 300} +1200\n".encode()
    yield _data(f"{commit.tag_message}\n".encode())


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _git(directory: Path, *words: str, stdin: bytes = b"") -> bytes:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_DIR": "."}
    done = subprocess.run(
        ["git", *words], cwd=directory, input=stdin, env=environment, capture_output=True, timeout=60, check=False
    )
    if done.returncode:
        raise RuntimeError(f"git {words[0]} failed in {directory}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


if __name__ == "__main__":
    for name, commit in build(Path(sys.argv[1])).items():
        print(commit, name)
