"""RA15 and RA21 with a real browser: texts from outside are read by Chromium, and none of them does anything.

The texts come the way they would: a hostile repository is fetched, a hostile target and a hostile site speak while the
page is open. Then every stored text is replaced by hostile ones, past every check, and every page is read again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Error, Page, Request, sync_playwright

from tests.attacks.corpus import MARKER, MARKUP
from tests.attacks.hostile import Hostile
from tests.engine.git_repository import Repository
from tests.stage import wait_until

pytestmark = [pytest.mark.attacks, pytest.mark.timeout(240)]
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

HOOK = """
window.pwned = undefined;
document.addEventListener("securitypolicyviolation", (event) => {
  console.error("POLICY " + event.violatedDirective + " " + event.blockedURI + " " + event.sample);
});
"""
WORDS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
REFS = (
    "-x", "--output=x", "--upload-pack=touch", "a$(touch)", "`id`", "a;id", "<img/src=x/onerror=alert(1)>",
    "<script>window.pwned=1</script>", "gru\u0308n", "gr\u00fcn", "%s%n", "{{7+7}}", "{%debug%}", "';drop",
    '"onload="x', "x" * 200, "\u202egnp",
    "javascript&#58;alert(1)", "a\u200bb", "main\u2028ended", "<svg/onload=alert(1)>",
)  # fmt: skip


@dataclass
class Eyes:
    """What the browser noticed on all pages together."""

    home: str
    acted: list[str] = field(default_factory=list)
    pages: int = 0

    def watch(self, page: Page) -> None:
        """Note every dialog, every request that leaves for elsewhere, and everything that the policy stopped."""
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.on("console", self._said)
        page.on("pageerror", self._broke)

    def _dialog(self, dialog: Dialog) -> None:
        self.acted.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _said(self, said: ConsoleMessage) -> None:
        if "POLICY" in said.text:
            self.acted.append(said.text)

    def _broke(self, error: Error) -> None:
        self.acted.append(f"error: {error}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.home, "data:image/")):
            self.acted.append(f"asked for {request.url}")

    def look(self, page: Page, path: str) -> None:
        """Read a page to its end, with everything on it opened, pressed with the mouse and focused."""
        answer = page.goto(self.home + path, wait_until="load")
        assert answer is not None and answer.status == 200, path
        self.done(page)

    def done(self, page: Page) -> None:
        """What the page in hand has done."""
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        page.evaluate(
            "document.querySelectorAll('main *').forEach((each) => "
            "{ for (const name of ['mouseover', 'focus', 'toggle', 'error']) each.dispatchEvent(new Event(name)) })"
        )
        if page.evaluate("window.pwned") is not None:
            self.acted.append(f"a script ran on {page.url}")
        self.pages += 1


@pytest.fixture(scope="module")
def eyes(leaky: Hostile) -> Eyes:
    return Eyes(leaky.stage.demo.url("web"))


@pytest.fixture(scope="module")
def context(leaky: Hostile) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=WORDS)
        made = chromium.new_context()
        made.add_init_script(HOOK)
        made.set_default_timeout(20_000)
        page = made.new_page()
        page.goto(f"{leaky.stage.demo.url('web')}/login/")
        page.fill("input[name=login]", "ada@demo.example")
        page.fill("input[name=password]", leaky.stage.demo.password)
        page.press("input[name=password]", "Enter")
        page.wait_for_url("**/")
        yield made
        chromium.close()


@pytest.fixture
def page(context: BrowserContext, eyes: Eyes) -> Iterator[Page]:
    made = context.new_page()
    eyes.watch(made)
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def _hostile_history(leaky: Hostile) -> None:
    """Commits whose messages are hostile, branches and tags with hostile names; fetched as any repository is."""
    repository = Repository(leaky.folder / "site.git")
    tree = repository.git("rev-parse", "main^{tree}")
    repository.heads = {"main": repository.git("rev-parse", "main")}
    per_commit = -(-len(MARKUP) // 10)
    for first in range(0, len(MARKUP), per_commit):
        words = " ".join(MARKUP[first : first + per_commit]).replace("\0", "")
        repository.commit_tree(tree, message=f"{words}\n\n{words}")
    commit = repository.heads["main"]
    tag = f"object {commit}\ntype commit\ntag x\ntagger {MARKUP[4]} 1767603600 +1300\n\n{MARKUP[0]}\n"
    annotated = repository.git("hash-object", "-t", "tag", "-w", "--stdin", "--literally", stdin=tag.encode())
    with (repository.directory / "packed-refs").open("ab") as refs:
        for name in (*map(str.encode, REFS), b"caf\xe9", b"\xed\xa0\x80"):
            refs.write(b"%s refs/heads/%s\n%s refs/tags/%s\n" % (commit.encode(), name, annotated.encode(), name))
    leaky.say()
    status, cause = leaky.fetch()
    assert status == "succeeded", cause


def test_the_witness_is_not_blind(context: BrowserContext, eyes: Eyes) -> None:
    seen = Eyes(eyes.home)
    page = context.new_page()
    seen.watch(page)
    page.set_content("<main><img src=http://evil.example/x onerror=window.pwned=1><svg onload=alert(1)></main>")
    seen.done(page)
    page.goto(f"{eyes.home}/")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.pwned=1>')")
    page.wait_for_timeout(300)
    page.close()
    for sign in ("dialog", "evil.example", "a script ran", "POLICY"):
        assert any(sign in each for each in seen.acted), (sign, seen.acted)


def test_a_hostile_repository_is_read_and_does_nothing(page: Page, leaky: Hostile, eyes: Eyes) -> None:
    names = {
        name
        for (name,) in leaky.stage.ask("SELECT name FROM instances_ref WHERE name NOT IN ('main', 'second', 'third')")
    }
    assert len(names & set(REFS)) >= 12
    for path in (
        "/instances/leaky/",
        "/instances/leaky/?page=2",
        "/instances/leaky/?page=3",
        "/instances/leaky/?show=tags",
        "/instances/leaky/uat/release/",
        "/instances/leaky/uat/release/?branch=%3Cscript%3Ewindow.pwned%3D1%3C/script%3E",
        "/instances/leaky/-/repository/",
    ):
        eyes.look(page, path)
    assert eyes.acted == []
    assert not Path(MARKER).exists()


def test_hostile_names_are_released_or_refused_as_the_names_they_are(leaky: Hostile) -> None:
    ada, begun = leaky.stage.person("ada"), 0
    for name in (*REFS, "../../x", "main\n", "x" * 10_240, "refs/heads/main", "main~1", "-x\0"):
        answer = ada.begin("branch", name, instance="leaky")
        found = leaky.stage.ask("SELECT max(number) FROM deployments_deployment WHERE chosen_name=?", name)[0][0]
        if answer.status_code == 400:
            assert found is None and "Nothing was begun" in answer.text
            continue
        assert answer.status_code == 200 and found, name
        begun += 1
        assert leaky.end_of(found) in ("succeeded", "failed")
        if begun == 2:
            break
    assert begun
    assert not Path(MARKER).exists()


def test_a_target_and_a_site_that_speak_markup_while_one_watches(page: Page, leaky: Hostile, eyes: Eyes) -> None:
    said = "\n".join(MARKUP)
    leaky.say(
        out=said.encode(),
        err=said.encode(),
        then="import time; time.sleep(2); print(sys.argv); sys.exit('<img src=x onerror=window.pwned=1>')",
        body=said.encode(),
        status=500,
    )
    number = leaky.begin()
    eyes.look(page, f"/instances/leaky/uat/{number}/")
    status = leaky.end_of(number)
    assert status in ("rolled back", "rollback failed", "failed")

    def told() -> bool:
        page.wait_for_timeout(100)
        return not page.title().startswith("[")

    wait_until(told, seconds=20, what="the page says how it ended")
    eyes.done(page)
    for path in ("log/", "", "abort/"):
        eyes.look(page, f"/instances/leaky/uat/{number}/{path}")
    for (step,) in leaky.stage.ask(
        "SELECT s.id FROM runs_steprun s JOIN runs_run r ON r.id=s.run_id WHERE r.title=? AND s.begun_at NOT NULL",
        f"leaky/uat #{number}",
    ):
        eyes.look(page, f"/instances/leaky/uat/{number}/log/?step={step}")
        eyes.look(page, f"/instances/leaky/uat/{number}/log/?step={step}&raw=1")
    assert eyes.acted == []


FILL = """
from deploynaut.instances.models import Commit, KeyPair, Ref
from deploynaut.notify.models import Message
from deploynaut.runs.models import LogChunk, Run, StepRun
from deploynaut.snapshots.models import Snapshot
text = given["text"]
Instance.objects.update(title=text, repository=text)
Environment.objects.update(url=text, pipeline=text)
for target in Target.objects.all():
    Target.objects.filter(pk=target.pk).update(address=f"{text}{target.pk}", user=text, base=text, page=text)
KeyPair.objects.update(public=text, fingerprint=text)
Commit.objects.update(subject=text, body=text, author=text)
for ref in Ref.objects.all():
    Ref.objects.filter(pk=ref.pk).update(name=f"{text} {ref.pk}", subject=text, author=text)
User.objects.update(name=text)
Deployment.objects.update(chosen_name=text, outcome=text)
Run.objects.exclude(kind="none").update(cause=text, abort_by=text)
StepRun.objects.update(summary=text, error=text)
LogChunk.objects.update(text=text)
Message.objects.update(address=text, subject=text, result=text, body=text)
"""


@contextmanager
def rows_put_back(leaky: Hostile) -> Iterator[None]:
    """Whatever is written to the database meanwhile is undone."""
    path = str(leaky.stage.data / "app.sqlite3")
    with closing(sqlite3.connect(":memory:")) as kept, closing(sqlite3.connect(path, timeout=30)) as database:
        database.backup(kept)
        try:
            yield
        finally:
            kept.backup(database)


def test_every_page_with_hostile_texts_everywhere(page: Page, leaky: Hostile, eyes: Eyes) -> None:
    (number,) = leaky.stage.ask("SELECT max(id), max(number) FROM deployments_deployment d WHERE active=0")[0][1:]
    paths = [
        "/", "/messages/", "/instances/", "/instances/leaky/", "/instances/leaky/?show=tags",
        "/instances/leaky/?show=deployed", "/instances/leaky/uat/", "/instances/leaky/uat/release/",
        "/instances/leaky/uat/settings/", "/instances/leaky/uat/targets/", f"/instances/leaky/uat/{number}/",
        f"/instances/leaky/uat/{number}/log/", f"/instances/leaky/uat/{number}/abort/", "/account/",
    ]  # fmt: skip
    runs = leaky.stage.ask("SELECT max(id) FROM runs_run WHERE kind IN ('fetch', 'target_set_up') GROUP BY kind")
    paths += [f"/runs/{run}/log/" for (run,) in runs]
    assert len(MARKUP) >= 120
    with rows_put_back(leaky):
        for first in range(0, len(MARKUP), 50):
            leaky.ask(FILL, text=" ".join(MARKUP[first : first + 50]))
            for path in paths:
                eyes.look(page, path)
    assert eyes.acted == []
    assert eyes.pages > 60
