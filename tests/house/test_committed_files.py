"""What is committed speaks of no machine and of no package registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, named, project_files

# In parts, so that this file does not hold them either.
REGISTRIES = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"))
]
REGISTRIES += [".".join(parts) for parts in (("packagist", "org"), ("deb", "debian", "org"), ("yarnpkg", "com"))]
MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home/(?!deploy|new|user|site|you)\w+|Users/\w+)/[\w.-]+")
SECRETS = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*\n[A-Za-z0-9+/=]{40}|AGE-SECRET-KEY-1[0-9A-Z]{50}")
BINARY = {".png", ".ico", ".woff2", ".gz", ".zst", ".sspak"}


def text_files() -> list[Path]:
    return [path for path in project_files() if path.suffix not in BINARY]


def test_no_file_names_a_package_registry() -> None:
    found = [
        f"{named(path)}: {name}"
        for path in text_files()
        for name in REGISTRIES
        if name in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert not found, "\n".join(found)


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [
        f"{named(path)}: {match.group(0)}"
        for path in text_files()
        if "vendor" not in path.parts
        for match in MACHINE.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found, "\n".join(found)


def test_no_private_key_is_committed() -> None:
    found = [named(path) for path in text_files() if SECRETS.search(path.read_text(encoding="utf-8", errors="replace"))]
    assert not found, "\n".join(found)


def test_the_locks_hold_hashes_and_no_addresses() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-uv.txt"):
        content = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in content, name
        for entry in re.split(r"\n(?=\S)", content.strip()):
            assert "--hash=sha256:" in entry, f"{name}: {entry.splitlines()[0]}"


def test_what_runs_is_what_is_tested() -> None:
    def pins(name: str) -> set[str]:
        return set(
            re.findall(r"^[A-Za-z0-9][^ \\;]*==[^ \\;]+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        )

    assert pins("requirements.txt") <= pins("requirements-dev.txt")


@pytest.mark.parametrize("name", ["run", "test", ".ci/run", "manage.py"])
def test_the_commands_can_be_executed(name: str) -> None:
    path = ROOT / name
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env ")
    assert path.stat().st_mode & 0o100
