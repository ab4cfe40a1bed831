"""A target whose disk is full, out of inodes or read-only, and releases that fail by themselves: said and undone."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploynaut.engine.pipeline import Mark
from tests.faults.lab import Lab, check_clean
from tests.stage import Stage, wait_until
from tests.witnesses import Prober, columns, overlaps, titles

pytestmark = pytest.mark.faults

MEGABYTES, INODES = 64, 1200
FULL = "MB free.* needed|No space left on device|disk is full|disk ran full"


@dataclass
class Small:
    """An environment whose base directory is a file system of its own, 64 MB and 1200 inodes."""

    stage: Stage
    url: str

    @property
    def base(self) -> Path:
        return self.stage.demo.base("small")

    def remount(self, *options: str) -> None:
        """With other options."""
        _mount("-o", ",".join(["remount", *options]), str(self.base))

    @contextmanager
    def filled(self, *, but: int) -> Iterator[None]:
        """All space taken, but so many bytes."""
        ballast = self.base / "ballast"
        free = _free(self.base)[0]
        ballast.write_bytes(b"x" * max(0, free - but))
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def crowded(self, *, but: int) -> Iterator[None]:
        """All inodes taken, but so many."""
        crowd = self.base / "crowd"
        crowd.mkdir()
        for number in range(_free(self.base)[1] - but):
            (crowd / str(number)).touch()
        try:
            yield
        finally:
            subprocess.run(["rm", "-rf", str(crowd)], check=True)

    @property
    def live(self) -> str:
        """Where `current` leads."""
        return str((self.base / "current").readlink())


def _free(base: Path) -> tuple[int, int]:
    said = subprocess.run(["stat", "-f", "-c", "%a %S %d", str(base)], capture_output=True, text=True, check=True)
    blocks, size, inodes = map(int, said.stdout.split())
    return blocks * size, inodes


def _shrunk(small: Small) -> bool:
    used = MEGABYTES * 2**20 - _free(small.base)[0]
    words = ["mount", "-o", f"remount,size={used // 1024 + 16}k", str(small.base)]
    return subprocess.run(words, capture_output=True).returncode == 0


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"These tests mount a small file system, for which they must be root. mount said: {done.stderr}")


@pytest.fixture(scope="module")
def small(whole_stage: Stage) -> Iterator[Small]:
    """The small environment with release 1.1 live."""
    base = whole_stage.demo.base("small")
    base.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={MEGABYTES}m,nr_inodes={INODES},mode=0755", "small", str(base))
    try:
        url = whole_stage.add_site("small")
        assert whole_stage.release("tag", "1.1", environment="small") == "succeeded", whole_stage.log(1, "small")
        yield Small(whole_stage, url)
    finally:
        if "small" in whole_stage.processes:
            whole_stage.processes["small"].kill()
            whole_stage.processes.pop("small").wait()
        subprocess.run(["umount", "--lazy", str(base)], check=True)


def _refused(small: Small, *, words: str, meanwhile: Callable[[int], None] = lambda number: None) -> float:
    """A release fails for want of the resource, which is named; the site stays as it was. Seconds of screen."""
    live, data = small.live, (titles(small.base), columns(small.base))
    with Prober(small.url + "/") as prober:
        number = small.stage.begin("tag", "1.2", environment="small")
        meanwhile(number)
        status = small.stage.wait_for_end(number, "small")
    told = small.stage.log(number, "small")
    assert status == "failed", f"{status}: {small.stage.outcome(number, 'small')}\n{told}"
    assert re.search(words, small.stage.outcome(number, "small"), re.IGNORECASE), told
    assert re.search("this machine|local", small.stage.outcome(number, "small")), told
    assert (small.live, (titles(small.base), columns(small.base))) == (live, data)
    assert prober.strange("1.1.0") == []
    assert not (small.base / "maintenance.html").exists()
    return prober.screened


def _next_one_succeeds(small: Small) -> None:
    """Space is there again: the next try succeeds, and nothing is left; then back to 1.1 for the next test."""
    assert small.stage.release("tag", "1.2", environment="small") == "succeeded"
    check_clean(small.stage, small.base)
    assert overlaps(small.base) == []
    assert small.stage.release("tag", "1.1", environment="small") == "succeeded"


@pytest.mark.parametrize("but", [0, 8_192, 8_000_000], ids=["full", "two-blocks-left", "too-little-left"])
def test_a_full_disk_is_named_and_the_old_release_stays(lab: Lab, small: Small, but: int) -> None:
    with small.filled(but=but):
        assert _refused(small, words=FULL) == 0
    _next_one_succeeds(small)


def test_a_disk_that_fills_up_during_the_upload_is_named_and_the_old_release_stays(lab: Lab, small: Small) -> None:
    def shrink(number: int) -> None:
        wait_until(lambda: Mark.LAID_OUT in small.stage.marks(number, "small"), seconds=20, what="the upload begins")
        # The upload goes on meanwhile, and a file system does not shrink below what it holds: try until it fits.
        wait_until(lambda: _shrunk(small), seconds=20, what="the disk has shrunk to what it holds")

    try:
        # A quick upload may be through before the disk is full; then the backup finds it, behind the screen.
        _refused(small, words=FULL, meanwhile=shrink)
    finally:
        small.remount(f"size={MEGABYTES}m")
    _next_one_succeeds(small)


@pytest.mark.parametrize("but", [0, 12], ids=["none", "a-dozen-left"])
def test_a_disk_without_inodes_is_named_and_the_old_release_stays(lab: Lab, small: Small, but: int) -> None:
    with small.crowded(but=but):
        assert _refused(small, words="inodes") == 0
    _next_one_succeeds(small)


def test_a_read_only_disk_is_named_and_the_old_release_stays(lab: Lab, small: Small) -> None:
    small.remount("ro")
    try:
        assert _refused(small, words="read-only file system") == 0
    finally:
        small.remount("rw")
    _next_one_succeeds(small)


# --- releases that fail by themselves --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(whole_stage: Stage) -> Iterator[str]:
    """An environment whose recipe builds; release 1.1 is live."""
    url = whole_stage.add_site("own", build=[["true"]])
    assert whole_stage.release("tag", "1.1", environment="own") == "succeeded"
    yield url


def _change(stage: Stage, **options: object) -> None:
    recipe = {"migrate": ["python3", "migrate.py"], "database": {"kind": "sqlite", "path": "shared/content.sqlite3"}}
    recipe["release_url"] = "/.well-known/deploynaut-release"
    stage.clerk("change_environment", environment="own", who="Ada", recipe_options={**recipe, **options})


def test_a_failing_build_ends_before_the_site_is_touched(lab: Lab, own: str) -> None:
    stage = lab.stage
    words = ["/bin/sh", "-c", "echo the assets cannot be made; exit 1"]
    _change(stage, build=[words])
    with Prober(own + "/") as prober:
        number = stage.begin("tag", "1.2", environment="own")
        assert stage.wait_for_end(number, "own") == "failed", stage.log(number, "own")
    assert "the assets cannot be made" in stage.log(number, "own")
    assert "build" in stage.outcome(number, "own").lower()
    assert prober.strange("1.1.0") == [] and prober.screened == 0
    assert not (stage.demo.base("own") / "releases" / str(number)).exists()
    check_clean(stage, stage.demo.base("own"))
    _change(stage, build=[["true"]])


@pytest.mark.parametrize("name", ["broken/search-500", "broken/migration"])
def test_a_release_that_fails_is_undone(lab: Lab, name: str) -> None:
    with lab.releasing(name) as release:
        status = release.end()
        assert status == "rolled back"
        release.check(status)
        assert release.prober.screened > 0
        assert sorted(release.events()) == ["rollback_begun", "rolled_back"]


def test_a_link_changed_by_hand_is_told_and_left_alone(lab: Lab, own: str) -> None:
    stage, base = lab.stage, lab.stage.demo.base("own")
    live = (base / "current").readlink()
    (base / "current").unlink()
    (base / "current").symlink_to("releases/0")
    (base / "releases" / "77").mkdir()
    (base / "current").unlink()
    (base / "current").symlink_to("releases/77")
    number = stage.begin("tag", "1.2", environment="own")
    assert stage.wait_for_end(number, "own") == "failed"
    assert "Somebody changed it by hand" in stage.outcome(number, "own")
    assert str((base / "current").readlink()) == "releases/77"
    (base / "current").unlink()
    (base / "releases" / "77").rmdir()
    (base / "current").symlink_to(live)
    assert stage.release("tag", "1.2", environment="own") == "succeeded"


def test_a_file_of_the_live_release_changed_by_hand_is_told_before_anything_is_touched(lab: Lab, own: str) -> None:
    stage, base = lab.stage, lab.stage.demo.base("own")
    about = base / "current" / "templates" / "about.html"
    before = about.read_bytes()
    about.write_bytes(before + b"<p>changed by hand</p>")
    try:
        number = stage.begin("tag", "1.1.1", environment="own")
        assert stage.wait_for_end(number, "own") == "failed"
        assert "templates/about.html" in stage.outcome(number, "own")
    finally:
        about.write_bytes(before)
    assert stage.release("tag", "1.1.1", environment="own") == "succeeded"
