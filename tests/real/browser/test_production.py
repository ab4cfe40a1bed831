"""Production as the demo plays it: Rob releases, Mia approves, Olga is called; each story in their own browsers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.real.browser.conftest import FAILED
from tests.real.browser.playing import LONG, Cast, Running, complaints, ends_as, photograph, played, titles
from tests.real.browser.producing import (
    abort,
    add_production,
    approve,
    begin_on,
    change_pipeline,
    confirm_proposal,
    deploy,
    fetch,
    hears,
    held,
    let_in_again,
    live,
    lost_once_live,
    move_branch,
    open_approval,
    release_to_production,
    served,
    waits,
    withdraw,
)
from tests.sinks import gateway_sink, until
from tests.stage import RECORD, wait_until
from tests.witnesses import Prober

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`./run`, where three releases have passed UAT, and 1.0 is live on production."""
    with played(tmp_path_factory.mktemp("run"), {"DEPLOYNAUT_PRIVATE_GATEWAYS": "yes"}) as running:
        fetched = "SELECT count(*) FROM instances_ref"
        wait_until(lambda: running.stage.ask(fetched)[0][0], seconds=60, what="the repository is fetched")
        ready = "SELECT count(*) FROM instances_target WHERE set_up_at IS NOT NULL"
        wait_until(lambda: running.stage.ask(ready)[0][0] == 2, seconds=60, what="the targets are set up")
        for name in ("1.0", "1.2", "1.1"):
            assert running.stage.release("tag", name) == "succeeded", running.stage.log(running.stage.newest())
        release_to_production(running, "1.0")
        yield running


@pytest.fixture(scope="module")
def play(browser: Browser, demo: Running) -> Iterator[Cast]:
    """Everybody in a browser of their own."""
    cast = Cast(browser, demo)
    yield cast
    cast.close()


@pytest.fixture(autouse=True)
def calm(request: pytest.FixtureRequest, demo: Running, play: Cast) -> Iterator[None]:
    """A story that failed leaves pictures, and nothing open for the next one."""
    yield
    if not request.node.stash.get(FAILED, False):
        return
    play.photograph(request.node.name)
    for environment, number in demo.stage.ask(f"SELECT e.name, d.number FROM {RECORD} WHERE d.active"):
        demo.stage.clerk("abort", environment=environment, number=number, who="Mia")
        demo.stage.wait_for_end(number, environment)


# --- the stories -----------------------------------------------------------------------------------------------------


def test_rob_releases_mia_approves_rob_deploys_and_dismisses(demo: Running, play: Cast) -> None:
    rob, mia = play.rob, play.mia
    problems = complaints(rob) + complaints(mia)
    begin_on(rob, demo, "1.1")
    waits(rob, "Waiting for approval")
    photograph(rob, "production-asked")
    assert not rob.get_by_role("button", name="Approve or reject").count(), "not one's own"

    mia.goto(demo.address)
    mia.get_by_role("link", name=re.compile("^Open ?: Rob asks you to approve")).click()
    expect(mia.get_by_text("Being compared")).to_have_count(0, timeout=LONG)
    photograph(mia, "approval", keep=("360-light",))
    mia.get_by_role("button", name="Approve").click()
    expect(mia.get_by_text("You approved it.")).to_be_visible()
    photograph(mia, "approved")

    waits(rob, "Waiting for Deploy")
    photograph(rob, "deploy")
    deploy(rob)
    waits(rob, "Rollback window")
    assert served(demo) == "1.1.0"
    photograph(rob, "window", keep=("1280-light",), whole=False)
    rob.get_by_role("button", name="Extend once").click()
    rob.get_by_label("Reason").fill("The editors want to look at it as well.")
    rob.get_by_role("button", name="Extend once").click()
    expect(rob.locator(".gate")).to_contain_text("Extended")
    rob.get_by_role("button", name="Dismiss").click()
    ends_as(rob, "Succeeded")
    photograph(rob, "production-succeeded")
    assert not problems, problems


def test_mia_rejects_and_rob_aborts_before_and_after_an_approval(demo: Running, play: Cast) -> None:
    rob, mia = play.rob, play.mia
    number = begin_on(rob, demo, "1.2")
    open_approval(mia, demo, number)
    mia.get_by_text("Reject instead").click()
    mia.get_by_role("button", name="Reject", exact=True).click()
    expect(mia.locator("#reason-wrong")).to_be_visible()
    mia.get_by_label("Why not?").fill("The editors are at work until four.")
    mia.get_by_role("button", name="Reject", exact=True).click()
    expect(mia.get_by_text("You rejected it.")).to_be_visible()
    ends_as(rob, "Rejected")
    expect(rob.locator(".outcome")).to_contain_text("The editors are at work until four.")

    begin_on(rob, demo, "1.2")
    waits(rob, "Waiting for approval")
    abort(rob)
    ends_as(rob, "Aborted")

    number = begin_on(rob, demo, "1.2")
    approve(mia, demo, number)
    waits(rob, "Waiting for Deploy")
    abort(rob)
    ends_as(rob, "Aborted")
    assert served(demo) == "1.1.0"
    hears(demo, number, ("rob", "aborted", "email"), ("rob", "aborted", "text"), ("mia", "aborted", "text"))


def test_mia_takes_over_and_the_release_is_rolled_back_in_its_window(demo: Running, play: Cast) -> None:
    rob, mia, site = play.rob, play.mia, demo.sites["prod"]
    before = titles(site)
    number = begin_on(rob, demo, "1.2")
    approve(mia, demo, number)
    mia.goto(rob.url)
    mia.get_by_role("button", name="Take over attendance").click()
    expect(mia.get_by_text("Everybody concerned was told.")).to_be_visible()
    expect(rob.locator(".outcome")).to_contain_text("Waiting for Mia to press Deploy")
    expect(rob.get_by_role("button", name="Deploy to prod")).to_have_count(0)
    deploy(mia)
    waits(mia, "Rollback window")
    assert served(demo) == "1.2.0"

    httpx2.post(f"{site}/edit", data={"title": "Entered in the window", "body": "Text."}, timeout=10)
    assert "Entered in the window" in titles(site)
    waits(rob, "Rollback window")
    rob.get_by_role("button", name="Rollback").click()
    rob.get_by_role("button", name="Count rows").click()
    expect(rob.get_by_role("cell", name="+1").first).to_be_visible(timeout=LONG)
    photograph(rob, "rollback", keep=("1280-light",), whole=False)
    rob.get_by_role("button", name=re.compile("^Rollback")).click()
    ends_as(rob, "Rolled back")
    photograph(rob, "production-rolled-back", keep=("1280-light",), whole=False)
    assert (served(demo), titles(site)) == ("1.1.0", before)
    hears(demo, number, ("rob", "rolled back", "text"), ("mia", "attendance taken", "email"))


def test_what_only_production_tests_puts_production_back(demo: Running, play: Cast) -> None:
    rob, mia = play.rob, play.mia
    assert demo.stage.release("branch", "broken/contact") == "succeeded"
    before = titles(demo.sites["prod"])
    number = begin_on(rob, demo, "broken/contact")
    approve(mia, demo, number)
    deploy(rob)
    ends_as(rob, "Rolled back")
    expect(rob.locator(".outcome")).to_contain_text("contact")
    assert (served(demo), titles(demo.sites["prod"])) == ("1.1.0", before)
    hears(demo, number, ("rob", "rolled back", "email"), ("mia", "rolled back", "text"))


def test_nobody_answers_the_next_are_asked_and_all_of_it_ends_by_itself(demo: Running, play: Cast) -> None:
    rob, mia = play.rob, play.mia
    times = {"escalate_after: 10m": "escalate_after: 4s", "expires_after: 7d": "expires_after: 14s"}
    add_production(demo, "swift", times)
    number = begin_on(rob, demo, "1.0", "swift")
    expect(rob.locator(".gate")).to_contain_text("Asked nextAda")
    expect(rob.locator(".gate")).to_contain_text("AskedAda; before them Mia", timeout=LONG)
    ends_as(rob, "Expired")
    asked = (("mia", "approval asked", "text"), ("ada", "approval asked", "text"), ("rob", "expired", "email"))
    hears(demo, number, *asked, environment="swift")

    change_pipeline(demo, "swift", {"expires_after: 1d": "expires_after: 3s"})
    number = begin_on(rob, demo, "1.0", "swift")
    approve(mia, demo, number, "swift")
    ends_as(rob, "Expired")

    change_pipeline(demo, "swift", {"lasts: 1h": "lasts: 4s"})
    number = begin_on(rob, demo, "1.0", "swift")
    approve(mia, demo, number, "swift")
    deploy(rob, "swift")
    ends_as(rob, "Succeeded")
    expect(rob.locator('[data-label="Window"]')).to_contain_text("Done")
    hears(demo, number, ("rob", "succeeded", "text"), environment="swift")


def test_a_whole_release_by_plain_forms_with_scripting_switched_off(demo: Running, browser: Browser) -> None:
    plain = Cast(browser, demo, script=False)
    rob, mia = plain.rob, plain.mia
    let_in_again(mia, demo, "1.2")
    number = begin_on(rob, demo, "1.2")
    approve(mia, demo, number)
    rob.reload()  # sooner than the page asks for itself
    deploy(rob)
    waits(rob, "Rollback window")
    assert served(demo) == "1.2.0"
    rob.get_by_role("button", name="Dismiss").click()
    ends_as(rob, "Succeeded")
    plain.close()


def test_the_commit_that_was_approved_is_deployed_though_its_branch_has_moved(demo: Running, play: Cast) -> None:
    rob, mia = play.rob, play.mia
    assert demo.stage.release("branch", "feature/search") == "succeeded"
    chosen, other = demo.stage.commit("feature/search"), demo.stage.commit("broken/migration")
    number = begin_on(rob, demo, "feature/search")
    approve(mia, demo, number)
    waits(rob, "Waiting for Deploy")
    move_branch(demo, "feature/search", other)
    fetch(mia, demo)
    wait_until(lambda: demo.stage.commit("feature/search") == other, seconds=40, what="the branch has moved")
    deploy(rob)
    waits(rob, "Rollback window")
    assert (served(demo), live(demo)[1]) == ("1.3.0-search", chosen)

    # An abort in the window is the same as Rollback.
    abort(rob)
    ends_as(rob, "Rolled back")
    assert served(demo) == "1.2.0"


def test_olga_breaks_the_glass(demo: Running, play: Cast) -> None:
    mia, olga = play.mia, play.olga
    olga.goto(f"{demo.here}/prod/release/")
    assert olga.get_by_role("button", name="Begin the release process on prod").is_disabled()
    olga.locator(f'input[name="release"][value="{demo.stage.commit("1.1")}"]').check()
    olga.get_by_text("Break glass: begin without approval").click()
    olga.get_by_label("What is the emergency?").fill("Too short.")
    olga.get_by_role("button", name="Break glass and begin").click()
    expect(olga.locator("#break_glass-wrong")).to_be_visible()
    photograph(olga, "break-glass")
    olga.get_by_label("What is the emergency?").fill("The search of 1.2 is down and no manager can be reached.")
    olga.locator(f'input[name="release"][value="{demo.stage.commit("1.1")}"]').check()
    olga.get_by_role("button", name="Break glass and begin").click()
    deploy(olga)
    waits(olga, "Rollback window")
    assert served(demo) == "1.1.0"
    olga.get_by_role("button", name="Dismiss").click()
    ends_as(olga, "Succeeded")
    number = int(olga.url.rstrip("/").rpartition("/")[2])
    hears(demo, number, ("mia", "break glass", "text"), ("ada", "break glass", "email"))
    mia.goto(demo.address)
    expect(mia.get_by_role("heading", name="Break glass in the last 30 days")).to_be_visible()
    photograph(mia, "front-glass")


def test_a_rollback_fails_ops_are_told_and_the_screen_stays_up_until_a_release_succeeds(
    demo: Running, play: Cast
) -> None:
    rob, mia, olga, site = play.rob, play.mia, play.olga, demo.sites["prod"]
    with gateway_sink() as phones:
        set_gateway(play.ada, demo, phones.url)
        number = fail_to_go_back(rob, mia, demo, "1.2")
        until(lambda: [text for text in phones.texts if text.to == "+64215550103"])
        (text,) = (text for text in phones.texts if text.to == "+64215550103")
        assert "The rollback failed" in text.body, text
        forget_gateway(play.ada, demo)
    photograph(rob, "rollback-failed", keep=("1280-light",), whole=False)
    hears(demo, number, ("olga", "rollback failed", "email"), ("rob", "rollback failed", "email"))
    olga.goto(demo.address)
    expect(olga.get_by_text("council/prod").first).to_be_visible()
    photograph(olga, "front-stuck")
    olga.get_by_role("link", name="Maintenance", exact=True).click()
    expect(olga.get_by_role("heading", name="Sites left in maintenance")).to_be_visible()
    photograph(olga, "maintenance")

    with Prober(f"{site}/") as visitor:
        number = begin_on(rob, demo, "1.1")
        approve(mia, demo, number)
        with held(demo.stage.demo.base("prod") / "shared/content.sqlite3"):
            deploy(rob)
            expect(rob.locator('[data-label="Backup"]').first).to_contain_text("Running", timeout=LONG)
            abort(rob)
            ends_as(rob, "Aborted")
        assert served(demo) == "503"
        number = begin_on(rob, demo, "1.1")
        approve(mia, demo, number)
        deploy(rob)
        waits(rob, "Rollback window")
        wait_until(lambda: visitor.versions, seconds=20, what="visitors see the site again")
    assert visitor.versions == ["1.1.0"]
    assert visitor.strange("1.1.0") == []
    rob.get_by_role("button", name="Dismiss").click()
    ends_as(rob, "Succeeded")


def test_olga_says_which_release_is_live_and_the_state_ends(demo: Running, play: Cast) -> None:
    rob, mia, olga = play.rob, play.mia, play.olga
    before = live(demo)[0]
    kept = (before / "app.py").read_text()
    fail_to_go_back(rob, mia, demo, "1.2")
    olga.goto(f"{demo.address}/operations/maintenance/")
    olga.get_by_role("link", name=re.compile("^Resolve")).first.click()
    photograph(olga, "resolve")

    # The hosts know better; then what was missing is put back by hand, and what they serve is named.
    say_resolved(olga, "the one that failed")
    expect(olga.get_by_text("The hosts do not agree")).to_be_visible(timeout=LONG)
    assert served(demo) == "503"
    (before / "app.py").write_text(kept)
    say_resolved(olga, f"#{before.name} ")
    expect(olga.locator(".note.good", has_text="is live")).to_be_visible(timeout=LONG)
    assert served(demo) == (before / "VERSION").read_text().strip()


def test_what_was_approved_has_changed_so_it_is_asked_again_and_a_withdrawn_release_is_refused(
    demo: Running, play: Cast
) -> None:
    rob, mia, ada = play.rob, play.mia, play.ada
    uat = demo.stage.begin("tag", "1.1.1")
    assert demo.stage.wait_for_end(uat) == "succeeded"
    number = begin_on(rob, demo, "1.1.1")
    approve(mia, demo, number)
    waits(rob, "Waiting for Deploy")

    ada.goto(f"{demo.here}/prod/pipeline/")
    text = ada.locator("#text")
    text.fill(text.input_value().replace("Call the council", "Questions?"))
    ada.get_by_label("Why is it changed?").fill("The number may be another one.")
    ada.get_by_role("button", name="Propose").click()
    expect(rob.get_by_role("heading", name="Waiting for Deploy")).to_be_visible()
    confirm_proposal(mia, demo)
    waits(rob, "Waiting for approval")
    open_approval(mia, demo, number)
    expect(mia.get_by_text("does not count any more")).to_be_visible()
    photograph(mia, "approval-void")
    mia.get_by_role("button", name="Approve").click()
    waits(rob, "Waiting for Deploy")

    base = demo.stage.demo.base("second")
    base.mkdir()
    demo.stage.clerk("add_target", environment="prod", who="Ada", reach="local", base=str(base), web=True)
    confirm_proposal(mia, demo)
    waits(rob, "Waiting for approval")
    approve(mia, demo, number)
    waits(rob, "Waiting for Deploy")

    withdraw(play.rob, demo, uat, "The dates on a phone are cut off.")
    rob.goto(f"{demo.here}/prod/{number}/")
    ends_as(rob, "Rejected")
    expect(rob.locator(".outcome")).to_contain_text("The dates on a phone are cut off")
    hears(demo, number, ("mia", "void", "text"), ("rob", "void", "email"), ("mia", "rejected", "email"))


PAGES = {
    "chooser": "instances/council/prod/release/",
    "members": "instances/council/-/members/",
    "chats": "instances/council/-/messages/",
    "freezes": "instances/council/-/freezes/",
    "proposals": "instances/council/-/proposals/",
    "pipeline": "instances/council/prod/pipeline/",
    "pipeline-history": "instances/council/prod/pipeline/history/",
    "pipeline-import": "instances/council/prod/pipeline/import/",
    "locks": "instances/council/prod/locks/",
    "production": "instances/council/prod/",
    "production-settings": "instances/council/prod/settings/",
    "system": "system/",
    "users": "users/",
    "audit": "audit/",
    "my-messages": "account/messages/",
    "mails-and-texts": "messages/",
    "maintenance-list": "operations/maintenance/",
}


@pytest.mark.parametrize("name", PAGES)
def test_each_page_of_settings_is_good_to_read(demo: Running, play: Cast, name: str) -> None:
    page = play.ada
    problems = complaints(page)
    answer = page.goto(f"{demo.address}/{PAGES[name]}")
    assert answer is not None
    assert answer.status == 200
    photograph(page, name, only=("1280-light", "360-dark"))
    assert not problems, problems


# --- longer acts -----------------------------------------------------------------------------------------------------


def set_gateway(page: Page, demo: Running, url: str) -> None:
    """System settings: where texts go from now on."""
    page.goto(f"{demo.address}/system/")
    page.get_by_label("Address of the gateway").fill(url)
    page.get_by_role("button", name="Save the gateway").click()
    expect(page.get_by_text("Texts go by a gateway")).to_be_visible()


def forget_gateway(page: Page, demo: Running) -> None:
    """Texts stay on the page of messages again."""
    page.goto(f"{demo.address}/system/")
    page.get_by_role("button", name="Remove the gateway").click()
    expect(page.get_by_text("Texts go by a gateway")).to_have_count(0)


def fail_to_go_back(rob: Page, mia: Page, demo: Running, name: str) -> int:
    """A release, then a Rollback to a release that loses a file meanwhile; the number of the deployment."""
    before = live(demo)[0]
    number = begin_on(rob, demo, name)
    approve(mia, demo, number)
    deploy(rob)
    waits(rob, "Rollback window")
    with lost_once_live(before.parents[1] / "current", before):
        rob.get_by_role("button", name="Rollback").click()
        rob.get_by_role("button", name=re.compile("^Rollback")).click()
        ends_as(rob, "Rollback failed")
    assert served(demo) == "503"
    return number


def say_resolved(page: Page, which: str) -> None:
    """Ops: this release is live."""
    live_one = page.locator("#live option").filter(has_text=which)
    page.get_by_label("Live release").select_option(live_one.get_attribute("value"))
    page.get_by_label("What was done?").fill("The file was put back by hand.")
    page.get_by_role("button", name="Resolved").click()
    expect(page.get_by_text("The hosts are being asked").first).to_be_visible()
