"""RF01: each effect of five kinds of deployment fails in each way; the rows, the site and the data tell one truth.

In one process, with an inline queue, but with real rows, a real site and real commands. A seed in the normal run; every
point with `./test faults --all`.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from demo.layout import Demo
from demo.server import Front, Handler, Server
from deploynaut.accounts.models import User
from deploynaut.cli.demo import PIPELINE, RECIPE, set_up
from deploynaut.deployments.bars import Bar
from deploynaut.deployments.models import Deployment
from deploynaut.durable import port
from deploynaut.durable.inline import InlineEngine
from deploynaut.engine.pipeline import Status
from deploynaut.instances import reach
from deploynaut.instances.models import Environment, Instance, Target
from deploynaut.instances.revisions import choose
from deploynaut.instances.secrets import ensure_master_key
from deploynaut.runs.models import LogChunk
from deploynaut.runs.runner import advance
from tests.faults.effects import Killed, Mode, Plan, numbered
from tests.witnesses import Prober, columns, leftovers, overlaps, titles

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True), pytest.mark.timeout(7200)]

STEPS = "  - backup\n  - release\n  - smoke_tests: {attempts: 1}"
VERSIONS = {"1.1": "1.1.0", "1.1.1": "1.1.1", "1.2": "1.2.0"}
KINDS = {
    "a good release": "",
    "a failing smoke test": "broken/search-500",
    "a failing migration": "broken/migration",
    "an abort in the migration": "slow/migration",
    "a first deployment that fails": "broken/search-500",
}
EXPECTED = {
    "a good release": {Status.SUCCEEDED, Status.FAILED, Status.ROLLED_BACK},
    "an abort in the migration": {Status.FAILED, Status.ROLLED_BACK},
    "a first deployment that fails": {Status.FAILED},
}
SEED_POINTS = 20


@dataclass
class Site:
    """One environment on this machine, served by a thread."""

    environment: Environment
    base: Path
    url: str

    @property
    def flag(self) -> bool:
        return (self.base / "maintenance.html").exists()

    @property
    def version(self) -> str:
        """Of the live release; empty for the screen alone."""
        file = self.base / "current" / "VERSION"
        return file.read_text().strip() if file.exists() else ""

    @property
    def content(self) -> Path:
        return self.base / "shared" / "content.sqlite3"

    @property
    def data(self) -> Any:
        return (titles(self.base), columns(self.base)) if self.content.exists() else None


@dataclass
class Workshop:
    """The books, and what is done with them."""

    engine: InlineEngine
    demo: Demo
    site: Site
    plan: Plan = field(default_factory=Plan)
    firsts: int = 0

    def point(self, kind: str, at: int, mode: Mode) -> str:
        """One deployment of the kind of which the effect `at` fails; how it ended. Checks everything."""
        if kind != "a first deployment that fails":
            # A success removes old releases: each point begins with the same ones there, so its number means the same.
            self._succeed(self.site)
            return self._on(self.site, kind, at, mode)
        self.firsts += 1
        with added(self.demo, f"first{self.firsts}", self.engine) as site:
            status = self._on(site, kind, at, mode)
            shutil.rmtree(site.base)
        return status

    def _on(self, site: Site, kind: str, at: int, mode: Mode) -> str:
        name = KINDS[kind] or ("1.2" if site.version != "1.2.0" else "1.1.1")
        before, data, saved = site.version, site.data, site.content.read_bytes() if site.content.exists() else b""
        with Prober(f"{site.url}/") as visitor:
            deployment = self._deploy(site, name, at, mode, abort=kind == "an abort in the migration")
        told = f"{kind}, effect {at} {mode}: {self.plan.said[at - 1 : at] if at else ''}\n{_log(deployment)}"
        _check(site, deployment, kind, before, data, told)
        allowed = {before, VERSIONS.get(name, "1.3.0"), "1.4.0"} - {""}
        assert visitor.strange(*allowed) == [], told
        if deployment.status is Status.ROLLBACK_FAILED:
            # Ops put the data back by hand; else the next point would begin with half migrated ones.
            site.content.write_bytes(saved)
        return deployment.status if at <= len(self.plan.said) else f"{deployment.status} (not reached)"

    def _deploy(self, site: Site, name: str, at: int, mode: Mode, *, abort: bool) -> Deployment:
        rob = User.objects.get(name="Rob")
        deployment: list[Deployment] = []

        def when(what: str) -> None:
            fresh = Deployment.objects.get(pk=deployment[0].pk)
            if abort and "python3 migrate.py" in what and not fresh.run.abort_by:
                fresh.abort(by=rob, now=port.now())

        self.plan = Plan(at, mode, when)
        revision = choose(site.environment.instance, by="branch" if "/" in name else "tag", text=name)
        if (bar := Bar.objects.standing(site.environment, revision.commit)) is not None:
            bar.lift(by=rob, reason="The next point begins with the same release.", now=port.now())
        deployment.append(
            Deployment.objects.begin(environment=site.environment, by=rob, revision=revision, now=port.now())
        )
        try:
            advance(deployment[0].run_id)
        except Killed:
            self.plan.dead, self.plan.at = False, 0
            advance(deployment[0].run_id)
        self.engine.forget()
        return Deployment.objects.select_related("run", "environment__instance").get(pk=deployment[0].pk)

    def _succeed(self, site: Site) -> None:
        """A good release; after a failed rollback its success takes the screen down."""
        deployment = self._deploy(site, "1.2" if site.version != "1.2.0" else "1.1.1", 0, Mode.REFUSED, abort=False)
        assert deployment.status is Status.SUCCEEDED, _log(deployment)
        assert not site.flag


def _check(site: Site, deployment: Deployment, kind: str, before: str, data: Any, told: str) -> None:
    status = deployment.status
    forward = EXPECTED.get(kind, {Status.FAILED, Status.ROLLED_BACK})
    assert status in forward | {Status.ROLLBACK_FAILED}, told
    assert status is not Status.ROLLBACK_FAILED or "injected" in told, told
    assert deployment.outcome and not deployment.active, told
    assert not deployment.run.steps.filter(status__in=["pending", "running", "waiting"]).exists(), told
    assert overlaps(site.base) == [], told
    rest = [path for path in leftovers(site.base) if path != "maintenance.html"]
    assert rest == [] or status is Status.ROLLBACK_FAILED, f"{rest}\n{told}"
    assert site.flag == (status is Status.ROLLBACK_FAILED), told
    if status in (Status.FAILED, Status.ROLLED_BACK):
        assert (site.version, site.data) == (before, data), told


def _log(deployment: Deployment) -> str:
    return f"{deployment.status}: {deployment.outcome}\n" + "".join(
        LogChunk.objects.filter(run=deployment.run_id).order_by("id").values_list("text", flat=True)
    )


@contextmanager
def added(demo: Demo, name: str, engine: InlineEngine) -> Iterator[Site]:
    """A new environment whose target is set up, with its web server."""
    base = demo.base(name)
    base.mkdir(parents=True)
    server = Server(("127.0.0.1", 0), Handler)
    server.set_app(Front(base=base))
    url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Site(_environment(base, name, url, engine), base, url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _environment(base: Path, name: str, url: str, engine: InlineEngine) -> Environment:
    now, instance = port.now(), Instance.objects.get()
    pipeline = PIPELINE.format(words=name, steps=STEPS, url=url)
    environment = Environment.objects.add(
        instance=instance, name=name, kind="uat", url=f"{url}/", recipe="plain", recipe_options=RECIPE,
        pipeline=pipeline, by=None, now=now,
    )  # fmt: skip
    Target.objects.add(environment=environment, reach="local", base=str(base), db=True, page=url, by=None, now=now)
    engine.settle()
    assert environment.ready_targets().exists()
    return environment


@pytest.fixture
def workshop(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """The demo's books, and a site with release 1.1 live."""
    settings.DEPLOYNAUT_DEMO = True
    settings.DEPLOYNAUT_PATIENCE = settings.DEPLOYNAUT_ANSWER_WITHIN = 4
    demo = Demo(Path(settings.DEPLOYNAUT_DATA))
    demo.settle()
    ensure_master_key()
    engine = InlineEngine()
    with port.using(engine):
        set_up(demo, now=port.now())
        engine.settle()
        with added(demo, "every", engine) as site:
            shop = Workshop(engine, demo, site)
            monkeypatch.setattr(reach, "Local", numbered(lambda: shop.plan))
            assert shop._deploy(site, "1.1", 0, Mode.REFUSED, abort=False).status is Status.SUCCEEDED
            yield shop
    shutil.rmtree(demo.data / "demo")


def test_every_effect_of_every_kind_may_fail_in_every_way(workshop: Workshop, long: bool) -> None:
    seed = int(os.environ.get("DEPLOYNAUT_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    counts = {kind: _count(workshop, kind) for kind in KINDS}
    points = [(kind, at, mode) for kind in KINDS for at in range(1, counts[kind] + 1) for mode in Mode]
    print(f"DEPLOYNAUT_SEED={seed}; {sum(counts.values())} effects, {len(points)} points: {counts}")
    assert sum(counts.values()) >= 100
    chosen = random.Random(seed).sample(points, len(points) if long else SEED_POINTS)
    wrong: list[str] = []
    for kind, at, mode in chosen:
        status = _try(lambda kind=kind, at=at, mode=mode: workshop.point(kind, at, mode), wrong)  # type: ignore[misc]
        print(f"{kind}, effect {at} {mode}: {status}")
    assert wrong == [], "\n\n".join(wrong)


def _count(workshop: Workshop, kind: str) -> int:
    workshop.point(kind, 0, Mode.REFUSED)
    return len(workshop.plan.said)


def _try(point: Callable[[], str], wrong: list[str]) -> str:
    """All points are tried, also when one is wrong."""
    try:
        return point()
    except AssertionError as error:
        wrong.append(str(error))
        return f"WRONG\n{error}"
