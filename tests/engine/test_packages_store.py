"""Packages: built once, kept by their content, checked before each use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deploynaut.engine.connections.processes import group_lives
from deploynaut.engine.packages import Build, BuildFailed, Package, PackageStore, StoreFull
from deploynaut.engine.repository import BadTree, Limits, RepositoryDamaged, RevisionNotFound
from deploynaut.engine.testing_mirror import FakeMirror
from tests.engine.package_makers import Workshop, go_on

BUILD = """
import os, sys
os.makedirs("public/empty")
open("public/made.txt", "w").write("made of " + open("source.txt").read())
os.symlink("made.txt", "public/link")
os.chmod("public/made.txt", 0o700)
print("environment:", *sorted(os.environ))
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def build(workshop: Workshop, commit: str, *words: str, timeout: float = 60, stall: float = 60) -> Package:
    made = Build(words or ("python3", "build.py"), timeout=timeout, stall=stall)
    return workshop.store.get(mirror=workshop.mirror, commit=commit, build=made, log=workshop.lines.append, guard=go_on)


def test_a_package_has_the_digest_of_its_content_and_nothing_else(workshop: Workshop, tmp_path: Path) -> None:
    first = workshop.package({"a": b"1", "d/l": "../a"})
    second = workshop.package({"b": b"1"})
    again = workshop.package({"a": b"1", "d/l": "../a"})
    assert first.digest == again.digest == first.manifest.digest != second.digest
    assert (first.size, [entry.path for entry in first.manifest.entries]) == (1, ["a", "d", "d/l"])
    assert Workshop(tmp_path / "other").package({"a": b"1", "d/l": "../a"}).digest == first.digest


def test_a_commit_is_packed_once(workshop: Workshop) -> None:
    commit = workshop.package({"a": b"1"}).commit
    for _ in range(2):
        workshop.store.get(mirror=workshop.mirror, commit=commit, build=None, log=workshop.lines.append, guard=go_on)
    assert workshop.mirror.archived == [commit]


def test_two_who_ask_at_once_get_one_package_made_once(workshop: Workshop) -> None:
    commit = workshop.mirror.commit({"source.txt": b"s", "build.py": BUILD.encode()})
    found: list[Package] = []
    threads = [threading.Thread(target=lambda: found.append(build(workshop, commit))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({package.digest for package in found}) == 1
    assert len(found) == 4
    assert workshop.mirror.archived == [commit]


def test_who_waits_for_another_build_can_still_be_stopped(workshop: Workshop) -> None:
    commit = workshop.mirror.commit({"a": b"1"})
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        leave.wait(20)

    def make() -> None:
        workshop.store.get(mirror=workshop.mirror, commit=commit, build=None, log=workshop.lines.append, guard=hold)

    thread = threading.Thread(target=make)
    thread.start()
    inside.wait(20)

    def stop() -> None:
        raise KeyError("stopped")

    with pytest.raises(KeyError):
        workshop.store.get(mirror=workshop.mirror, commit=commit, build=None, log=workshop.lines.append, guard=stop)
    leave.set()
    thread.join()


def layer_of(package: Package) -> Path:
    """The newest tar of a package."""
    return package.layers / package.contents().layers[-1]


def damage(path: Path) -> None:
    """One bit, the time of the file put back."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["layer", "manifest", "index", "about.json"])
def test_an_altered_package_is_noticed_and_made_anew_once(workshop: Workshop, name: str) -> None:
    package = workshop.package({"a": b"1" * 2000, "b": b"2" * 700})
    damage(layer_of(package) if name == "layer" else package.directory / name)
    assert workshop.store.find(package.digest) is None
    again = workshop.store.get(
        mirror=workshop.mirror, commit=package.commit, build=None, log=workshop.lines.append, guard=go_on
    )
    assert again.digest == package.digest
    assert workshop.store.find(package.digest) is not None
    assert workshop.mirror.archived == [package.commit] * 2
    assert any("altered" in line for line in workshop.lines)


def test_a_package_whose_file_was_only_touched_is_read_and_kept(workshop: Workshop) -> None:
    package = workshop.package({"a": b"1"})
    os.utime(layer_of(package))
    assert workshop.store.find(package.digest) is not None


def test_a_missing_package_is_none_and_no_path_gets_in(workshop: Workshop) -> None:
    assert workshop.store.find("0" * 64) is None
    for digest in ("../../etc", "", "A" * 64, "0" * 63):
        with pytest.raises(ValueError, match="not the digest"):
            workshop.store.find(digest)


def test_a_build_runs_in_the_tree_without_anything_of_ours(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "canary")
    commit = workshop.mirror.commit({"source.txt": b"s", "build.py": BUILD.encode()})
    package = build(workshop, commit)
    states = package.manifest.states
    assert states["public/made.txt"].mode == 0o755
    assert states["public/link"].value == "made.txt"
    assert states["public/empty"].kind == "directory"
    (line,) = (line for line in workshop.lines if line.startswith("| environment"))
    assert set(line.split()[2:]) <= {
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "TMPDIR",
    } | {name for name in line.split() if name.startswith("PYENV")}
    assert "SECRET_KEY" not in line


def test_another_build_makes_another_package(workshop: Workshop) -> None:
    commit = workshop.mirror.commit({"source.txt": b"s", "build.py": BUILD.encode()})
    plain = workshop.store.get(
        mirror=workshop.mirror, commit=commit, build=None, log=workshop.lines.append, guard=go_on
    )
    assert build(workshop, commit).digest != plain.digest


def test_a_failing_build_shows_its_last_50_lines_and_leaves_nothing(workshop: Workshop) -> None:
    text = b"import sys\nfor n in range(80): print('line', n)\nprint('token \\x1b[31m', file=sys.stderr)\nsys.exit(3)\n"
    commit = workshop.mirror.commit({"build.py": text})
    with pytest.raises(BuildFailed, match="status 3") as failed:
        build(workshop, commit)
    assert len(failed.value.lines) == 50
    assert "line 79" in str(failed.value)
    assert "\x1b" not in str(failed.value)
    assert [path for path in (workshop.store.directory / "work").iterdir() if path.is_dir()] == []
    assert workshop.store._packages() == []


def test_a_missing_program_of_the_build_is_named(workshop: Workshop) -> None:
    with pytest.raises(BuildFailed, match="'no-such-program' of the build is not installed"):
        build(workshop, workshop.mirror.commit({"a": b"1"}), "no-such-program")


SLOW = b"""
import os, subprocess, time
child = subprocess.Popen(["sleep", "600"])
print(os.getpid(), flush=True)
for n in range(6000): %s time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("text", "limits", "words"),
    [(b"print(n, flush=True);", {"timeout": 2.0}, "took longer"), (b"", {"stall": 2.0}, "wrote nothing")],
)
def test_a_build_that_hangs_is_ended_with_all_it_has_started(
    workshop: Workshop, text: bytes, limits: dict[str, float], words: str
) -> None:
    commit = workshop.mirror.commit({"build.py": SLOW % text})
    with pytest.raises(BuildFailed, match=words):
        build(workshop, commit, **limits)
    assert not group_lives(int(workshop.lines[0].removeprefix("| ")))


def test_a_guard_that_raises_ends_the_build(workshop: Workshop) -> None:
    commit = workshop.mirror.commit({"build.py": SLOW % b""})

    def stop() -> None:
        if workshop.lines:
            raise KeyError("stopped")

    with pytest.raises(KeyError):
        workshop.store.get(
            mirror=workshop.mirror,
            commit=commit,
            build=Build(("python3", "build.py")),
            log=workshop.lines.append,
            guard=stop,
        )
    assert not group_lives(int(workshop.lines[0].removeprefix("| ")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("os.mkfifo('pipe')", "neither file"),
        ("os.symlink('/etc/passwd', 'leak')", "absolute"),
        ("os.symlink('../../../../etc/passwd', 'leak')", "out of the tree"),
        ("open('s', 'w').close(); os.chmod('s', 0o4755)", "setuid"),
        ("os.makedirs('.git/hooks')", r"\.git"),
        ("open('.deploynaut-release', 'w').close()", "Rename yours"),
    ],
)
def test_what_a_build_may_not_leave_is_refused(workshop: Workshop, text: str, words: str) -> None:
    commit = workshop.mirror.commit({"build.py": f"import os\n{text}\n".encode()})
    with pytest.raises(BadTree, match=words):
        build(workshop, commit)


def test_a_package_over_the_limit_is_refused_with_the_limit(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    workshop.store = PackageStore(tmp_path / "store", limits=Limits(size=2 * 1024**2))
    commit = workshop.mirror.commit({"build.py": b"open('big', 'wb').write(bytes(3 * 1024**2))"})
    with pytest.raises(BadTree, match="larger than 2 MB"):
        build(workshop, commit)


def test_trim_removes_the_longest_unused_and_never_what_is_kept(workshop: Workshop) -> None:
    packages = [workshop.package({"a": bytes([number]) * 50_000}) for number in range(4)]
    for number, package in enumerate(packages):
        os.utime(package.directory, (number, number))
    workshop.store.get(
        mirror=workshop.mirror, commit=packages[0].commit, build=None, log=workshop.lines.append, guard=go_on
    )
    removed = workshop.store.trim(keep=frozenset({packages[1].digest}), limit=120_000)
    assert removed == [packages[2].digest, packages[3].digest]
    assert workshop.store.find(packages[0].digest)
    assert workshop.store.find(packages[1].digest)
    assert workshop.store.trim(keep=frozenset({packages[1].digest, packages[0].digest}), limit=0) == []


def test_a_damaged_mirror_is_repaired_once(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = workshop.mirror.commit({"a": b"1"})
    asked: list[str] = []

    def archive(self: FakeMirror, commit: str) -> object:
        asked.append(commit)
        if len(asked) == 1:
            raise RepositoryDamaged("lacks objects")
        return original(self, commit)

    original = FakeMirror.archive
    monkeypatch.setattr(FakeMirror, "archive", archive)
    workshop.store.get(mirror=workshop.mirror, commit=commit, build=None, log=workshop.lines.append, guard=go_on)
    assert len(asked) == 2


def test_an_unknown_commit_makes_nothing(workshop: Workshop) -> None:
    with pytest.raises(RevisionNotFound):
        workshop.store.get(mirror=workshop.mirror, commit="0" * 40, build=None, log=workshop.lines.append, guard=go_on)


def test_a_full_disk_of_ours_is_said(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deploynaut.engine.packages.box.fill", full)
    with pytest.raises(StoreFull, match="bytes free in its packages"):
        workshop.package({"a": b"1"})


def test_what_a_killed_build_left_is_swept_away(workshop: Workshop, tmp_path: Path) -> None:
    script = (
        "import sys, os, signal\nfrom pathlib import Path\n"
        "from deploynaut.engine.packages.work import work_directory\n"
        "with work_directory(Path(sys.argv[1])) as work:\n"
        "    (work / 'half').write_text('x')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    work = workshop.store.directory / "work"
    done = subprocess.run([sys.executable, "-c", script, str(work)], env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == -signal.SIGKILL
    assert len([path for path in work.iterdir() if path.is_dir()]) == 1
    workshop.package({"a": b"1"})
    assert [path for path in work.iterdir() if path.is_dir()] == []
