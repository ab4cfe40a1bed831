"""Whole deployments over real hosts in directories: what visitors see, what the data hold, how it ends."""

from __future__ import annotations

import contextlib
import re
import sqlite3

import pytest

from deploynaut.engine.connections.base import CommandFailed, Fenced, HostUnreachable
from deploynaut.engine.pipeline import Mark, RollbackAsked, Status
from deploynaut.engine.steps.base import StepTimedOut
from tests.engine.steps.conftest import MakeEnvironment
from tests.engine.steps.lab import (
    SCREEN_DOWN,
    SCREEN_UP,
    SWITCH,
    Deployment,
    Environment,
    Host,
    answering,
    dumps,
    with_options,
)


def titles(host: Host) -> list[str]:
    with contextlib.closing(sqlite3.connect(host.database)) as connection:
        return [row[0] for row in connection.execute("SELECT title FROM news ORDER BY id")]


def is_open(host: Host, *, release: int) -> bool:
    return (host.live, host.get("/"), host.flag.exists()) == (str(release), 200, False)


# --- it goes well ----------------------------------------------------------------------------------------------------


def test_a_first_release_goes_live(environment: Environment) -> None:
    deployment = environment.deployment("1.0")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert is_open(environment.host, release=1)
    assert deployment.facts["backup"]["snapshot"]["inventory"] == "nothing there yet"
    assert deployment.facts["prepare"]["live"] == {"web1": 0}


def test_a_release_with_a_migration_changes_code_and_data(live: Environment) -> None:
    deployment = live.deployment("1.1")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert is_open(live.host, release=2)
    assert any("summary" in line for line in live.host.content() or [])
    facts = deployment.facts
    assert facts["release"]["migrated"] is True
    assert facts["prepare"]["live"] == {"web1": 1}
    assert [finding["ok"] for finding in facts["prepare"]["baseline"]] == [True, True]


def test_the_snapshot_holds_the_data_as_they_were_before_the_release(live: Environment) -> None:
    deployment = live.deployment("1.1")
    deployment.go()
    stored = deployment.facts["backup"]["snapshot"]
    assert live.snapshots.verify(stored["name"], sha256=stored["sha256"]) > 0
    assert "news" in stored["inventory"]
    assert stored["size"] == live.snapshots.path(stored["name"]).stat().st_size


def test_visitors_see_the_screen_while_the_database_is_saved_and_migrated(live: Environment) -> None:
    seen: list[int] = []

    def look(deployment: Deployment, host: str, text: str) -> None:
        if "migrate.py" in text or dumps(text):
            seen.append(live.host.get("/"))

    deployment = live.deployment("1.1", before=look)
    assert deployment.go() is Status.SUCCEEDED
    assert seen
    assert set(seen) == {503}


def test_a_recipe_without_database_and_migration_is_released_too(make_environment: MakeEnvironment) -> None:
    environment = make_environment(recipe=with_options(database=None, migrate=[]))
    environment.tests = f'{{style: {{url: "{environment.host.address}/static/site.css"}}}}'
    deployment = environment.deployment("1.0")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert Mark.MIGRATING not in deployment.state.marks
    assert deployment.facts["backup"] == {"snapshot": None}


def test_background_work_rests_during_the_outage_and_the_server_is_reloaded(make_environment: MakeEnvironment) -> None:
    words = {name: ["sh", "-c", f"echo {name} >>shared/work.log"] for name in ("pause", "resume", "reload")}
    environment = make_environment(recipe=with_options(**words))
    environment.release("1.0")
    log = environment.host.base / "shared/work.log"
    assert log.read_text().split() == ["pause", "reload", "resume"]
    environment.deployment("broken/search-500").go()
    assert log.read_text().split()[3:] == ["pause", "reload", "resume", "pause", "reload", "resume"]


# --- it fails --------------------------------------------------------------------------------------------------------


def test_a_failed_migration_puts_code_and_data_back(live: Environment) -> None:
    before = live.host.content()
    deployment = live.deployment("broken/migration")
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert is_open(live.host, release=1)
    assert live.host.content() == before
    assert "The migration failed on web1 (status 1): sqlite3.IntegrityError" in deployment.state.cause
    assert deployment.facts["back:roll_back"]["database"] == "restored"
    assert deployment.notices == ["rollback begun", "rolled back"]


def test_a_failed_smoke_test_puts_code_and_data_back(live: Environment) -> None:
    before = live.host.content()
    deployment = live.deployment("broken/search-500")
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert is_open(live.host, release=1)
    assert live.host.content() == before
    assert "search: answered 500, expected 200" in deployment.state.cause


def test_before_data_go_back_they_are_saved_as_they_are(live: Environment) -> None:
    deployment = live.deployment("broken/search-500")
    deployment.go()
    safety = deployment.facts["back:roll_back"]["safety"]
    assert re.fullmatch("demo-uat-2-[0-9a-f]{8}-before-going-back", safety["name"])
    assert live.snapshots.verify(safety["name"], sha256=safety["sha256"]) > 0
    assert safety["sha256"] != deployment.facts["backup"]["snapshot"]["sha256"]


@pytest.mark.parametrize("ref", ["broken/migration", "broken/search-500"])
def test_a_first_deployment_that_fails_leaves_the_screen_alone(environment: Environment, ref: str) -> None:
    deployment = environment.deployment(ref)
    assert deployment.go() is Status.FAILED, deployment.text
    host = environment.host
    assert (host.live, host.get("/"), host.flag.exists()) == ("0", 503, False)
    assert host.content() is None
    assert "nothing to go back to" in deployment.text


def test_after_a_failed_first_deployment_another_one_succeeds(environment: Environment) -> None:
    environment.deployment("broken/search-500").go()
    environment.release("1.0")
    assert is_open(environment.host, release=2)


def test_a_failure_in_prepare_leaves_nothing_behind(live: Environment) -> None:
    def no_room(deployment: Deployment, host: str, text: str) -> None:
        if "tar -x" in text and "--no-same-owner" in text and deployment.state.status is not Status.ROLLING_BACK:
            raise CommandFailed("tar: No space left on device", host=host, errors=b"No space left on device")

    deployment = live.deployment("1.1", before=no_room)
    assert deployment.go() is Status.FAILED, deployment.text
    assert is_open(live.host, release=1)
    assert live.host.releases() == {"0", "1"}
    assert "web1: " in deployment.state.cause
    assert "nothing to put back" in deployment.text


def test_a_failed_backup_takes_the_screen_down_again(live: Environment) -> None:
    def broken(deployment: Deployment, host: str, text: str) -> None:
        if dumps(text):
            raise CommandFailed("the database is locked", host=host)

    deployment = live.deployment("1.1", before=broken)
    assert deployment.go() is Status.FAILED, deployment.text
    assert is_open(live.host, release=1)
    assert live.host.releases() == {"0", "1"}


def test_a_damaged_snapshot_is_refused_before_the_data_are_touched(live: Environment) -> None:
    def spoil(deployment: Deployment, host: str, text: str) -> None:
        if deployment.state.status is Status.ROLLING_BACK and SWITCH in text:
            path = live.snapshots.path(deployment.facts["backup"]["snapshot"]["name"])
            path.write_bytes(path.read_bytes()[:-1])

    deployment = live.deployment("broken/search-500", before=spoil)
    assert deployment.go() is Status.ROLLBACK_FAILED
    assert "checksum" in deployment.text
    assert live.host.get("/") == 503
    assert live.host.content() is not None


def test_a_site_that_fails_its_tests_after_the_way_back_gets_its_screen_again(live: Environment) -> None:
    def break_the_site(deployment: Deployment, host: str, text: str) -> None:
        if deployment.state.status is Status.ROLLING_BACK and text == SCREEN_DOWN:
            live.host.database.unlink()

    deployment = live.deployment("broken/search-500", before=break_the_site)
    assert deployment.go() is Status.ROLLBACK_FAILED, deployment.text
    assert live.host.get("/") == 503
    assert "The maintenance screen is up again" in deployment.text
    assert deployment.notices[-1] == "rollback failed"


def test_a_screen_that_cannot_be_put_up_is_said_first(live: Environment) -> None:
    def no_screen(deployment: Deployment, host: str, text: str) -> None:
        if deployment.state.status is Status.ROLLING_BACK and text == SCREEN_UP:
            raise CommandFailed("the disk is read-only", host=host)

    deployment = live.deployment("broken/search-500", before=no_screen)
    assert deployment.go() is Status.ROLLBACK_FAILED
    assert any(line.startswith("The maintenance screen could not be put up: web1:") for line in deployment.lines)


@pytest.mark.parametrize("moment", ["roll_back", "smoke_tests"])
def test_a_fault_of_ours_on_the_way_back_does_not_leave_the_site_open(
    live: Environment, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def faulty(deployment: Deployment, host: str, text: str) -> None:
        step = deployment.state.current
        if step is not None and step.back and step.kind == "roll_back" and text == "take_over" and moment == step.kind:
            raise ZeroDivisionError("ours")
        if step is not None and step.back and moment == "smoke_tests":
            monkeypatch.setattr("deploynaut.engine.steps.smoke_tests.verdict", lambda *_, **__: 1 / 0)

    with pytest.raises(ZeroDivisionError) as fault:
        live.deployment("broken/search-500", before=faulty).go()
    assert live.host.get("/") == 503
    assert fault.value.__notes__ == ["The maintenance screen is up."]


def test_what_cannot_be_cleared_away_in_time_does_not_close_an_untouched_site(live: Environment) -> None:
    def slow(deployment: Deployment, host: str, text: str) -> None:
        if dumps(text):
            raise CommandFailed("the disk is full", host=host)
        if deployment.state.status is Status.ROLLING_BACK and not live.host.flag.exists():
            raise StepTimedOut("This step took longer than 1 hour and was ended.")

    assert live.deployment("1.1", before=slow).go() is Status.FAILED
    assert is_open(live.host, release=1)


def test_a_test_that_was_broken_before_is_excused_by_name(live: Environment) -> None:
    address = live.host.address
    live.tests = f'{{home: {{url: "{address}/"}}, gone: {{url: "{address}/nothing", may_be_broken: true}}}}'
    deployment = live.deployment("1.1")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert deployment.facts["smoke_tests"]["excused"] == ["gone"]


# --- data that do not go back ----------------------------------------------------------------------------------------


def test_uat_may_keep_the_database(make_environment: MakeEnvironment) -> None:
    environment = make_environment(more="on_failure: {database: keep}")
    environment.release("1.0")
    deployment = environment.deployment("broken/search-500")
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert deployment.facts["back:roll_back"] == {"database": "kept", "safety": None}
    assert is_open(environment.host, release=1)


def test_rollback_in_the_window_takes_production_back(make_environment: MakeEnvironment) -> None:
    environment = make_environment(production=True)
    environment.release("1.0")
    before = environment.host.content()
    deployment = environment.deployment("1.1", rollback=RollbackAsked("Rob"))
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert environment.host.content() == before
    assert is_open(environment.host, release=1)


def test_a_code_only_rollback_keeps_the_data(make_environment: MakeEnvironment) -> None:
    environment = make_environment(production=True)
    environment.release("1.1")
    deployment = environment.deployment("1.2", rollback=RollbackAsked("Rob", code_only=True))
    deployment.before = lambda deployment, host, text: None
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert deployment.facts["back:roll_back"]["database"] == "kept"
    assert is_open(environment.host, release=1)


# --- a site that was in maintenance ----------------------------------------------------------------------------------


def test_a_screen_that_was_up_comes_down_by_a_success(live: Environment) -> None:
    live.host.flag.write_text("put up by Olga")
    live.screen_was_up = True
    deployment = live.deployment("1.1")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert is_open(live.host, release=2)


@pytest.mark.parametrize("ref", ["broken/migration", "broken/search-500"])
def test_a_screen_that_was_up_stays_up_after_a_failure(live: Environment, ref: str) -> None:
    live.host.flag.write_text("put up by Olga")
    live.screen_was_up = True
    deployment = live.deployment(ref)
    assert deployment.go() is Status.ROLLBACK_FAILED, deployment.text
    assert live.host.get("/") == 503
    assert live.host.live == "1"


def test_a_screen_put_up_by_hand_stays_up_after_a_failure_though_nobody_told_us(live: Environment) -> None:
    live.host.flag.write_text("put up by Olga")
    deployment = live.deployment("broken/migration")
    deployment.go()
    assert deployment.facts["prepare"]["screen_was_up"] is True
    assert live.host.get("/") == 503


# --- several hosts ---------------------------------------------------------------------------------------------------


def test_two_hosts_end_with_the_same_release(two: Environment) -> None:
    deployment = two.deployment("1.1")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert [host.live for host in two.hosts] == ["2", "2"]
    assert [host.flag.exists() for host in two.hosts] == [False, False]


def test_one_host_that_fails_before_the_switch_leaves_all_untouched(two: Environment) -> None:
    def broken(deployment: Deployment, host: str, text: str) -> None:
        if host == "web2" and "tar -x" in text and deployment.state.status is Status.RUNNING:
            raise CommandFailed("the disk is read-only", host=host)

    deployment = two.deployment("1.1", before=broken)
    assert deployment.go() is Status.FAILED, deployment.text
    assert "web2: " in deployment.state.cause
    assert "web1" not in deployment.state.cause
    assert [host.live for host in two.hosts] == ["1", "1"]
    assert two.host.releases() == {"0", "1"}


def test_one_host_that_cannot_be_switched_takes_all_back(two: Environment) -> None:
    def broken(deployment: Deployment, host: str, text: str) -> None:
        if host == "web2" and SWITCH in text and text.endswith(" 2"):
            raise CommandFailed("cannot rename", host=host)

    deployment = two.deployment("1.1", before=broken)
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert [host.live for host in two.hosts] == ["1", "1"]
    assert two.host.get("/") == 200


def test_no_host_is_switched_when_one_could_not_be(two: Environment) -> None:
    switched: list[str] = []

    def lose(deployment: Deployment, host: str, text: str) -> None:
        if "migrate.py" in text:
            two.hosts[1].base.joinpath("releases/2").rename(two.hosts[1].base / "lost")
        if SWITCH in text and text.endswith(" 2"):
            switched.append(host)

    deployment = two.deployment("1.1", before=lose)
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert switched == []


def test_a_host_that_stays_away_leaves_the_screen_on_the_others(two: Environment) -> None:
    def away(deployment: Deployment, host: str, text: str) -> None:
        if host == "web2" and Mark.VERIFYING in deployment.state.marks:
            raise HostUnreachable("web2 does not answer", host=host)

    deployment = two.deployment("1.1", before=away)
    assert deployment.go() is Status.ROLLBACK_FAILED, deployment.text
    assert two.host.get("/") == 503
    assert "web2 does not answer" in deployment.text


def test_a_host_that_comes_back_in_time_is_taken_back_too(two: Environment) -> None:
    tries: list[str] = []

    def shy(deployment: Deployment, host: str, text: str) -> None:
        if host == "web2" and deployment.state.status is Status.ROLLING_BACK and len(tries) < 5:
            tries.append(text)
            raise HostUnreachable("web2 does not answer", host=host)

    deployment = two.deployment("broken/search-500", before=shy)
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert len(tries) == 5
    assert [host.live for host in two.hosts] == ["1", "1"]


def test_a_host_that_goes_away_while_the_way_back_is_verified_is_waited_for(two: Environment) -> None:
    tries: list[str] = []

    def shy(deployment: Deployment, host: str, text: str) -> None:
        back = deployment.state.status is Status.ROLLING_BACK
        if host == "web2" and back and "readlink" in text and SWITCH not in text and two.hosts[1].live == "1":
            tries.append(text)
            if len(tries) < 5:
                raise HostUnreachable("web2 does not answer", host=host)

    deployment = two.deployment("broken/search-500", before=shy)
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert len(tries) == 5


def test_a_screen_that_comes_down_on_one_host_only_goes_up_again_there(two: Environment) -> None:
    def stuck(deployment: Deployment, host: str, text: str) -> None:
        if host == "web2" and text == SCREEN_DOWN and deployment.state.status is Status.ROLLING_BACK:
            raise CommandFailed("the disk is read-only", host=host)

    deployment = two.deployment("broken/search-500", before=stuck)
    assert deployment.go() is Status.ROLLBACK_FAILED, deployment.text
    assert [host.get("/") for host in two.hosts] == [503, 503]


def test_the_screen_is_asked_of_every_web_host(two: Environment) -> None:
    deployment = two.deployment("1.1")
    deployment.go()
    for host in ("web1", "web2"):
        assert f"{host}: the maintenance screen is up" in deployment.text
        assert f"{host}: serves release 2" in deployment.text


def test_a_web_server_that_ignores_the_screen_stops_the_release_before_anything_changes(two: Environment) -> None:
    with answering({}) as two.hosts[1].address:
        deployment = two.deployment("1.1")
        assert deployment.go() is Status.FAILED, deployment.text
    assert "web2: It answers 200 instead of the maintenance screen" in deployment.state.cause
    assert [host.live for host in two.hosts] == ["1", "1"]
    assert is_open(two.host, release=1)


def test_a_host_that_still_serves_the_old_release_takes_all_back(two: Environment) -> None:
    pages = {"/": (503, b"the screen"), "/.well-known/deploynaut-release": (200, b"1 old code from a cache")}
    with answering(pages) as two.hosts[1].address:
        deployment = two.deployment("1.1")
        assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert "web2: It still answers release 1 where release 2 is expected." in deployment.state.cause
    assert [host.live for host in two.hosts] == ["1", "1"]


def test_a_host_that_still_serves_the_new_release_after_the_way_back_keeps_the_screen_up(two: Environment) -> None:
    pages = {"/": (503, b"the screen"), "/.well-known/deploynaut-release": (200, b"2 new code from a cache")}
    with answering(pages) as two.hosts[1].address:
        deployment = two.deployment("broken/search-500")
        assert deployment.go() is Status.ROLLBACK_FAILED, deployment.text
    assert "web2: It still answers release 2 where release 1 is expected." in deployment.text
    assert two.host.get("/") == 503


# --- abort -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "status"),
    [
        ("laid out", Status.ABORTED),
        ("screen", Status.ABORTED),
        ("saved", Status.ABORTED),
        ("migrating", Status.ROLLED_BACK),
        ("switching", Status.ROLLED_BACK),
        ("verifying", Status.ROLLED_BACK),
        ("open", Status.ROLLED_BACK),
    ],
)
def test_abort_leaves_the_site_as_it_was(live: Environment, mark: str, status: Status) -> None:
    before = live.host.content()
    deployment = live.deployment("1.1", abort_at=mark)
    assert deployment.go() is status, deployment.text
    assert is_open(live.host, release=1)
    assert live.host.content() == before
    assert live.host.releases() == ({"0", "1"} if status is Status.ABORTED else {"0", "1", "2"})


def test_abort_of_a_site_in_maintenance_leaves_its_screen(live: Environment) -> None:
    live.host.flag.write_text("put up by Olga")
    live.screen_was_up = True
    assert live.deployment("1.1", abort_at="saved").go() is Status.ABORTED
    assert live.host.flag.read_text() == "put up by Olga"


# --- fenced off ------------------------------------------------------------------------------------------------------


def test_a_worker_that_was_fenced_off_hears_just_that(two: Environment) -> None:
    def fenced(deployment: Deployment, host: str, text: str) -> None:
        if host == "web2" and SCREEN_UP in text:
            raise Fenced("a later run has taken over web2", host=host)
        if host == "web1" and SCREEN_UP in text:
            raise CommandFailed("no room", host=host)

    with pytest.raises(Fenced):
        two.deployment("1.1", before=fenced).go()


def test_the_way_back_from_the_window_has_every_file_though_some_were_lost_meanwhile(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment(production=True)
    environment.release("1.1")
    deployment = environment.deployment("1.2", rollback=RollbackAsked("Rob"))

    def lose(deployment: Deployment, host: str, text: str) -> None:
        if deployment.state.status is Status.ROLLING_BACK and text == SCREEN_UP:
            (environment.host.base / "releases/1/VERSION").unlink(missing_ok=True)

    deployment.before = lose
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert (environment.host.base / "releases/1/VERSION").exists()
    assert "laid out again" in deployment.text
