"""Git repositories for tests, also ones that no git would make: trees written byte by byte."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Entry = tuple[str, bytes, bytes]
"""Mode, name and content (of a blob) or id (of a tree or commit, 40 hex digits)."""

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (
        ("NAME", "Ana Reid"), ("EMAIL", "ana@acme.example"), ("DATE", "1767603600 +1300"))},
}  # fmt: skip


@dataclass
class Repository:
    """A bare repository. Paths are bytes, content is bytes; a text is where a link leads."""

    directory: Path
    heads: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--bare", "--initial-branch=main")

    def git(self, *words: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.directory, env=ENVIRONMENT, input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def raw_tree(self, *entries: tuple[str, bytes, str]) -> str:
        """A tree of (mode, name, id) just as given: any name, any order, twice the same."""
        raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(id_) for mode, name, id_ in entries)
        return self.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=raw)

    def tree(self, files: Mapping[bytes, bytes | str], *, executable: frozenset[bytes] = frozenset()) -> str:
        """An ordinary tree."""
        here: dict[bytes, tuple[str, str]] = {}
        below: dict[bytes, dict[bytes, bytes | str]] = {}
        for path, content in files.items():
            first, _, rest = path.partition(b"/")
            if rest:
                below.setdefault(first, {})[rest] = content
            else:
                mode = "120000" if isinstance(content, str) else "100755" if path in executable else "100644"
                here[first] = (mode, self.blob(content.encode() if isinstance(content, str) else content))
        for name, inner in below.items():
            runs = frozenset(path[len(name) + 1 :] for path in executable if path.startswith(name + b"/"))
            here[name] = ("40000", self.tree(inner, executable=runs))
        order = sorted(here, key=lambda name: name + (b"/" if here[name][0] == "40000" else b""))
        return self.raw_tree(*((here[name][0], name, here[name][1]) for name in order))

    def commit_tree(self, tree: str, *, branch: str = "main", message: str = "Change", parent: bool = True) -> str:
        before = ["-p", self.heads[branch]] if parent and branch in self.heads else []
        id_ = self.git("commit-tree", tree, *before, stdin=message.encode())
        self.git("update-ref", f"refs/heads/{branch}", id_)
        self.heads[branch] = id_
        return id_

    def commit(
        self,
        files: Mapping[bytes, bytes | str],
        *,
        branch: str = "main",
        message: str = "Change",
        executable: frozenset[bytes] = frozenset(),
    ) -> str:
        return self.commit_tree(self.tree(files, executable=executable), branch=branch, message=message)
