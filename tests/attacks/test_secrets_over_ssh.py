"""RA24 and RA25: the product's own secrets, printed back at it by everything it talks to, come out nowhere.

Real processes, real SSH. The witnesses are outside: files and dumps are searched, every process of the machine is
looked at twenty times a second while the product works, and after its worker was killed.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.attacks.canaries import Watcher, hits, holders_of_keys, in_database, in_files, needles, printed
from tests.attacks.hostile import Hostile
from tests.stage import wait_until

pytestmark = [pytest.mark.attacks, pytest.mark.timeout(200)]


TITLES = "SELECT title FROM runs_run WHERE title LIKE 'leaky/uat #%'"


@pytest.fixture(scope="module")
def watcher(leaky: Hostile) -> Iterator[Watcher]:
    keys = {name: secret for name, secret in leaky.canaries.items() if "key" in name}
    folders = (Path("/dev/shm"), leaky.folder / "tmp", leaky.stage.data / "scratch", leaky.stage.data / "mirrors")
    told = frozenset(process.pid for process in leaky.stage.processes.values())
    with Watcher(needles(keys), folders, told=told) as watching:
        yield watching


def everything(leaky: Hostile) -> bytes:
    """All canaries in all forms."""
    return "\n".join(line for secret in leaky.canaries.values() for line in printed(secret)).encode()


def assert_nowhere(leaky: Hostile) -> None:
    """No canary in any file of ours, on the target, or in a dump of a database; the keys' own folder apart."""
    data = leaky.stage.data
    wanted = leaky.wanted()
    assert in_files([data, leaky.host.base, Path("/dev/shm")], wanted, but=[data / "keys"]) == []
    assert in_database(data / "app.sqlite3", wanted) + in_database(data / "queue.sqlite3", wanted) == []


def test_a_build_and_a_migration_that_print_every_secret(leaky: Hostile, watcher: Watcher) -> None:
    output = everything(leaky)
    assert len(leaky.canaries) >= 13
    leaky.say(build=output, out=output, err=output)
    status, number = leaky.deploy("third")
    assert status == "succeeded", leaky.log(number)[-2000:]
    for step in ("prepare", "release"):
        assert leaky.log(number, step).count("***") > 7 * len(leaky.canaries) / 2, step
    assert_nowhere(leaky)


def test_failures_that_cite_every_secret(leaky: Hostile, watcher: Watcher) -> None:
    output = everything(leaky)
    leaky.say(build=output[-30_000:], build_status=3)
    assert leaky.deploy("second")[0] == "failed"
    for name in ("environment key", "master key"):
        said = "\n".join(printed(leaky.canaries[name])).encode()
        leaky.say(err=said[-1900:], then="sys.exit(4)")
        assert leaky.deploy()[0] == "rolled back"
    assert_nowhere(leaky)
    causes = [cause for (cause,) in leaky.stage.ask("SELECT cause FROM runs_run WHERE status != 'succeeded'")]
    assert sum("***" in cause for cause in causes) == 3, causes


def test_a_page_that_shows_every_secret_to_the_smoke_test(leaky: Hostile, watcher: Watcher) -> None:
    secret = leaky.canaries["master key"]
    leaky.say(body="\n".join(printed(secret)).encode(), status=302, headers={"Location": f"/?token={secret}"})
    status, number = leaky.deploy()
    assert status == "rolled back"
    assert leaky.log(number, "smoke_tests").count("***") > 14
    assert_nowhere(leaky)


def test_a_server_that_answers_git_and_ssh_with_every_secret(leaky: Hostile, watcher: Watcher) -> None:
    leaky.say()
    (leaky.folder / "all").write_bytes(everything(leaky))
    (leaky.folder / "one").write_text(leaky.canaries["deploy key, line 3"])
    for forced in (f"cat {leaky.folder}/all >&2; exit 1", f"cat {leaky.folder}/one"):
        leaky.let_in(instance=forced, environment=forced)
        status, cause = leaky.fetch()
        assert status == "failed" and not hits(cause.encode(), leaky.wanted())
        status, cause = leaky.check()
        assert status == "failed" and not hits(cause.encode(), leaky.wanted())
    leaky.let_in()
    assert_nowhere(leaky)


def test_a_worker_killed_during_a_migration_and_a_fetch_leaves_no_key_behind(leaky: Hostile, watcher: Watcher) -> None:
    private = leaky.stage.data / "mirrors"
    leaky.say(then="import time; time.sleep(600)")
    number = leaky.begin()
    wait_until(lambda: "migrating" in leaky.log(number), seconds=30, what="the migration begins")
    leaky.let_in(instance="sleep 600")
    leaky.ask('begin_fetch(Instance.objects.get(name="leaky"), by=None, now=now)')
    wait_until(lambda: list(private.glob("*.private/private-*")), seconds=20, what="git is given its key")
    assert holders_of_keys(watcher.wanted), "no ssh holds a key: the witness is blind"
    leaky.stage.kill("worker")
    wait_until(lambda: not holders_of_keys(watcher.wanted), seconds=10, what="ssh is gone with the key it held")
    leaky.let_in()
    leaky.say()
    leaky.stage.start("worker")
    watcher.told |= {leaky.stage.processes["worker"].pid}
    newest = "SELECT status FROM runs_run WHERE kind='fetch' ORDER BY id DESC LIMIT 1"
    wait_until(lambda: leaky.stage.ask(newest) == [("succeeded",)], seconds=60, what="the next worker has fetched")
    assert not list(private.glob("*.private/private-*"))
    assert leaky.end_of(number) == "rolled back"
    assert_nowhere(leaky)


def test_no_page_shows_a_secret(leaky: Hostile) -> None:
    wanted, ada = leaky.wanted(), leaky.stage.person("ada")
    paths = [
        "/",
        "/messages/",
        "/instances/",
        "/instances/leaky/",
        "/instances/leaky/uat/",
        "/instances/leaky/uat/settings/",
    ]
    newest = max(int(title.split("#")[1]) for (title,) in leaky.stage.ask(TITLES))
    for number in range(1, newest + 1):
        page = f"/instances/leaky/uat/{number}/"
        steps = leaky.stage.ask(
            "SELECT s.id FROM runs_steprun s JOIN runs_run r ON r.id=s.run_id WHERE r.title=? AND s.begun_at NOT NULL",
            f"leaky/uat #{number}",
        )
        logs = ["log/?", "log/?raw=1", *(f"log/?step={step}{raw}" for (step,) in steps for raw in ("", "&raw=1"))]
        paths += [page, *(page + log for log in logs)]
    runs = leaky.stage.ask("SELECT id FROM runs_run WHERE kind != 'deployment'")
    paths += [f"/runs/{run}/log/{raw}" for (run,) in runs for raw in ("", "?raw=1")]
    shown = {path: answer for path in paths if (answer := ada.http.get(path)).status_code == 200}
    assert len(shown) > 60
    assert {path: hits(answer.content, wanted) for path, answer in shown.items() if hits(answer.content, wanted)} == {}


def test_nothing_was_to_be_seen_in_any_process_or_file_meanwhile(leaky: Hostile, watcher: Watcher) -> None:
    assert watcher.seen == set()
    assert watcher.key_files, "git was never seen with its key: the witness is blind"
    assert not [path for path in watcher.key_files if path.exists()]
    assert watcher.samples > 200


def test_a_stolen_copy_of_the_databases_holds_no_key(leaky: Hostile) -> None:
    for name in ("app.sqlite3", "queue.sqlite3"):
        with closing(sqlite3.connect(f"file:{leaky.stage.data / name}?mode=ro", uri=True)) as database:
            dump = "\n".join(database.iterdump())
        assert not hits(dump.encode(), leaky.wanted())
        assert not re.search(r"PRIVATE KEY|AGE-SECRET-KEY-", dump)
        assert "BEGIN AGE ENCRYPTED" in dump or name == "queue.sqlite3"
