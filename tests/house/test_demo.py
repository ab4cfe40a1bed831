"""The demo: the same repository each time, releases good or bad as promised, a server that never mixes them."""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo import repository
from demo.layout import Demo, PortTaken
from tests.house.tree import ROOT


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    directory = tmp_path_factory.mktemp("repository") / "site.git"
    yield directory, repository.build(directory)


class Site:
    """One environment of the demo with its server."""

    def __init__(self, base: Path, source: Path, commits: dict[str, str]) -> None:
        self.base, self.source, self.commits = base, source, commits
        (base / "releases").mkdir(parents=True)
        (base / "shared").mkdir()
        words = [
            sys.executable,
            str(ROOT / "demo" / "server.py"),
            "--base",
            str(base),
            "--port",
            "0",
            "--die-with-parent",
        ]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = re.findall(r"http://\S+", self.process.stdout.readline())[0].rstrip("/")

    def lay_out(self, number: int, name: str) -> Path:
        release = self.base / "releases" / str(number)
        release.mkdir()
        archive = subprocess.run(
            ["git", "archive", self.commits[name]], cwd=self.source, capture_output=True, check=True
        )
        subprocess.run(["tar", "-x"], cwd=release, input=archive.stdout, check=True)
        (release / ".deploynaut-release").write_text(f"{number} {self.commits[name]} digest\n")
        return release

    def migrate(self, number: int, *words: str) -> subprocess.CompletedProcess[str]:
        release = self.base / "releases" / str(number)
        return subprocess.run([sys.executable, "migrate.py", *words], cwd=release, capture_output=True, text=True)

    def switch(self, number: int) -> None:
        (self.base / "current.new").symlink_to(f"releases/{number}")
        (self.base / "current.new").replace(self.base / "current")

    def release(self, number: int, name: str) -> None:
        self.lay_out(number, name)
        assert self.migrate(number).returncode == 0
        self.switch(number)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def titles(self) -> list[str]:
        with sqlite3.connect(self.base / "shared" / "content.sqlite3") as content:
            return [row[0] for row in content.execute("SELECT title FROM news ORDER BY id")]


@pytest.fixture
def site(tmp_path: Path, commits: tuple[Path, dict[str, str]]) -> Iterator[Site]:
    one = Site(tmp_path / "site", *commits)
    yield one
    one.process.terminate()
    assert one.process.wait(10) == 0


def test_the_repository_is_the_same_each_time(tmp_path: Path, commits: tuple[Path, dict[str, str]]) -> None:
    assert repository.build(tmp_path / "another.git") == commits[1]
    assert repository.build(tmp_path / "another.git") == commits[1]


def test_the_repository_has_the_branches_and_tags_that_are_promised(commits: tuple[Path, dict[str, str]]) -> None:
    promised = {"main", "1.x", "feature/search", "1.0", "1.1", "1.2"}
    promised |= {repository.LIGHT_TAG, repository.SMOKE_TEST_FAILS, repository.MIGRATION_FAILS, repository.SLOW}
    promised |= {repository.PRODUCTION_FAILS}
    assert set(commits[1]) == promised
    kinds = subprocess.run(["git", "cat-file", "-t", "1.0"], cwd=commits[0], capture_output=True, text=True).stdout
    assert kinds == "tag\n"
    count = subprocess.run(
        ["git", "rev-list", "--count", "--all"], cwd=commits[0], capture_output=True, text=True
    ).stdout
    assert 12 <= int(count) <= 20


def test_before_any_release_the_screen_answers(site: Site) -> None:
    assert site.get("/")[0] == 503
    assert site.get("/.well-known/deploynaut-release")[0] == 404
    (site.base / "releases" / "0").mkdir()
    (site.base / "releases" / "0" / "maintenance.html").write_text("soon")
    site.switch(0)
    assert site.get("/news") == (503, "soon")


def test_good_releases_follow_each_other(site: Site) -> None:
    for number, name in enumerate(("1.0", "1.1", "1.2", "feature/search", "main", repository.LIGHT_TAG), start=1):
        site.release(number, name)
        assert f"{number} {site.commits[name]} digest\n" == site.get("/.well-known/deploynaut-release")[1]
        for path, text in (
            ("/", "Kererū Valley Council"),
            ("/search?q=trees", "Winter planting"),
            ("/about", "council"),
        ):
            status, body = site.get(path)
            assert (status, text in body) == (200, True), (name, path)
    assert not list(site.base.rglob("__pycache__"))


def test_the_migration_of_1_1_shows_on_the_site(site: Site) -> None:
    site.release(1, "1.0")
    assert "The deck is being renewed" not in site.get("/")[1]
    assert site.migrate(1, "--check").returncode == 0
    site.lay_out(2, "1.1")
    assert site.migrate(2, "--check").returncode == 1
    assert site.migrate(2).returncode == 0
    site.switch(2)
    assert "The deck is being renewed" in site.get("/")[1]


def test_the_release_whose_smoke_test_fails_has_changed_data_before(site: Site) -> None:
    site.release(1, "1.2")
    before = site.titles()
    site.release(2, repository.SMOKE_TEST_FAILS)
    assert site.get("/")[0] == 200
    assert site.get("/search?q=trees")[0] == 500
    assert len(site.titles()) == len(before) - 1
    assert not set(site.titles()) & {"Water restrictions lifted in Tawa"}


def test_the_migration_that_fails_leaves_half_of_its_work(site: Site) -> None:
    site.release(1, "1.2")
    before = site.titles()
    site.lay_out(2, repository.MIGRATION_FAILS)
    done = site.migrate(2)
    assert done.returncode != 0
    assert "UNIQUE" in done.stderr
    assert site.titles() != before
    assert site.migrate(2, "--check").stdout.startswith("schema 2,")


def test_the_release_that_production_refuses_passes_the_tests_of_uat(site: Site) -> None:
    site.release(1, "1.2")
    assert "Call the council" in site.get("/about")[1]
    site.release(2, repository.PRODUCTION_FAILS)
    assert "Kererū Valley Council" in site.get("/")[1]
    assert "Winter planting" in site.get("/search?q=trees")[1]
    assert site.get("/about")[0] == 200
    assert "Call the council" not in site.get("/about")[1]


def test_the_maintenance_flag_puts_up_the_screen(site: Site) -> None:
    site.release(1, "1.0")
    (site.base / "maintenance.html").write_text("back soon")
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(site.url + "/about", timeout=10)
    with answer.value as told:
        assert (told.code, told.read()) == (503, b"back soon")
        assert told.headers["Retry-After"] == "120"
        assert told.headers["Cache-Control"] == "no-store"
        assert told.headers["X-Deploynaut-Maintenance"] == "1"
    assert site.get("/.well-known/deploynaut-release")[0] == 200
    (site.base / "maintenance.html").unlink()
    assert site.get("/about")[0] == 200


def test_no_answer_mixes_two_releases(site: Site) -> None:
    site.release(1, "1.0")
    site.release(2, "1.1")
    seen: list[tuple[str, ...]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(tuple(re.findall(r"(?<=ersion )\d\.\d\.\d|release \d", site.get("/")[1])))

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    turn = 0
    while len(seen) < 150 and turn < 1_000_000:
        turn += 1
        site.switch(1 + turn % 2)
    done.set()
    for looker in lookers:
        looker.join()
    assert set(seen) == {("1.0.0", "1.0.0", "release 1"), ("1.1.0", "1.1.0", "release 2")}


def test_an_editor_adds_a_news_item_and_what_is_typed_is_escaped(site: Site) -> None:
    site.release(1, "1.1")
    form = b"title=%3Cscript%3Ealert(1)%3C%2Fscript%3E&body=Text.&author=Ana"
    with urllib.request.urlopen(site.url + "/edit", data=form, timeout=10) as answer:
        page = answer.read().decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>" not in page + site.get("/")[1] + site.get("/search?q=%3Cscript%3E")[1]


def test_the_server_ends_with_its_parent(tmp_path: Path) -> None:
    parent = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, {str(ROOT / 'demo' / 'server.py')!r}, '--base', {str(tmp_path)!r},"
        " '--port', '0', '--die-with-parent'])\n"
        "print(child.pid, flush=True)\nchild.wait()\n"
    )
    one = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert one.stdout is not None
    told = [one.stdout.readline(), one.stdout.readline()]
    one.kill()
    one.wait(10)
    assert one.stdout.read() == ""  # the server held the pipe's other end: it is closed when the server is gone
    assert len(told) == 2


def test_ports_and_password_stay_while_they_can(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    demo.settle()
    first = demo.facts()
    assert len(set(first["ports"].values())) == 3
    demo.settle()
    assert demo.facts() == first
    assert demo.file.stat().st_mode & 0o077 == 0
    with _taken() as port, pytest.raises(PortTaken):
        demo.settle(web=port)
    assert demo.facts() == first


@contextmanager
def _taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])
