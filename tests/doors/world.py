"""A small world for the pages: acme with uat, test and prod, deployments in several states, everybody in their role."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from django.apps import apps
from django.core.cache import cache
from django.db import connection, models
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from deploynaut.accounts.models import User
from deploynaut.accounts.roles import Role
from deploynaut.deployments.models import Deployment
from deploynaut.instances.models import Environment, EnvironmentLock, Freeze, Instance, Proposal, Target
from deploynaut.instances.revisions import By, Revision
from deploynaut.runs.models import Run
from tests.builders import (
    NOW,
    PASSWORD,
    Story,
    make_commit,
    make_deployment,
    make_environment,
    make_instance,
    make_target,
    make_user,
)

PEOPLE: dict[str, tuple[Role, ...]] = {
    "Vera": (Role.VIEWER,),
    "Rob": (Role.TECHNICAL_STAFF,),
    "Mia": (Role.DEPLOYMENT_MANAGER,),
    "Ida": (Role.INSTANCE_MANAGER,),
    "Olga": (Role.OPS,),
    "Ada": (Role.ADMINISTRATOR,),
    "Sam": (),
}
"""One person for each role, and Sam, who has none."""


AT_A_GATE = re.compile(r"/(approval|start|attend|rollback|dismiss|extend|resolve)/$")
"""Addresses of a production release: they lead to the one that waits for approval."""


@dataclass
class World:
    """What there is, and who looks at it."""

    instance: Instance
    uat: Environment
    prod: Environment
    target: Target
    waiting: Target
    good: Deployment
    back: Deployment
    open: Deployment
    fetch: Run
    member: User
    guards: dict[str, int]
    asking: Deployment
    clients: dict[str, Client] = field(default_factory=dict)

    def browser(self, name: str) -> Client:
        """A browser in which this person is logged in."""
        if name not in self.clients:
            self.clients[name] = log_in(name)
        return self.clients[name]

    def sample(self, parameter: str, route: str) -> object:
        """A value for a part of an address that leads somewhere."""
        one = self.asking if AT_A_GATE.search(route) else self.open
        found: dict[str, object] = {
            "instance": self.instance.name,
            "environment": one.environment.name,
            "number": one.number,
            "token": "no-such-link",
        }
        return self._key(route) if parameter == "pk" else found[parameter]

    def _key(self, route: str) -> int:
        found = [key for part, key in self._keys().items() if part in route]
        assert len(found) == 1, f"{route}: the world has {len(found)} keys for it"
        return found[0]

    def _keys(self) -> dict[str, int]:
        """By a part of the route. None by default: two tables whose numbers happen to agree hide a wrong answer."""
        return {
            "runs/<": self.fetch.pk,
            "users/<": self.member.pk,
            "/targets/<": self.target.pk,
            "/refused/<": self.uat.bars.get().pk,
            "/passkeys/<": 4711,  # nobody has one
            "-/messages/<": 4711,  # no chat either, unless a test makes one
            **self.guards,
        }


def make_world() -> World:
    """The world, with nobody logged in yet, and the count of log-ins back at nought."""
    cache.clear()
    instance = make_instance("acme")
    for name, roles in PEOPLE.items():
        make_user(name, *roles, instance=instance)
    return _furnish(instance, make_user("Rob"))


def make_foreign_world() -> World:
    """beta, furnished alike: nobody of PEOPLE has a role there; Ada sees it as she sees everything."""
    instance = make_instance("beta")
    return _furnish(instance, make_user("Bea", Role.DEPLOYMENT_MANAGER, instance=instance))


def _furnish(instance: Instance, by: User) -> World:
    """Whatever a page can be about is made here, for acme and for beta."""
    uat = make_environment(instance, "uat")
    prod = make_environment(instance, "prod", kind="production")
    waiting = make_target(uat, f"web9.{instance.name}.example", seen=True)
    target = uat.targets.order_by("pk")[0]
    # Other commits: what was rolled back here is refused, and not promoted either.
    good = make_deployment(uat, at="succeeded", by=by)
    back = make_deployment(uat, at="rolled back", by=by, commit=make_commit(instance, "Break it"))
    running = make_deployment(uat, at="release", by=by, commit=make_commit(instance, "Put it right"))
    fetch = Run.objects.begin(
        kind="fetch",
        subject_id=instance.pk,
        title=f"fetch of {instance}",
        lock_key=f"x{instance.pk}",
        steps=["fetch"],
        now=running.begun_at,
    )
    Run.objects.filter(pk=fetch.pk).update(status="succeeded", ended_at=running.begun_at)
    return World(instance, uat, prod, target, waiting, good, back, running, fetch, by, _guards(uat, by), _asking(good))


def _asking(passed: Deployment) -> Deployment:
    """A release of what passed UAT to another production environment: it waits for approval."""
    instance, by, now = passed.environment.instance, passed.initiator, timezone.now()
    live = make_environment(instance, "live", kind="production")
    if instance.name != "acme":
        make_user("Ben", Role.DEPLOYMENT_MANAGER, instance=instance)
        make_user("Bob", Role.OPS, instance=instance)
    revision = Revision(passed.commit, By.RELEASE)
    asking = Deployment.objects.begin(environment=live, by=by, revision=revision, now=now)
    Story(asking, now).begin_step()
    return asking


def _guards(uat: Environment, by: User) -> dict[str, int]:
    """A proposal that waits, a freeze to come and a lock that has run out: none keeps anybody from anything."""
    proposal = Proposal.objects.create(
        instance=uat.instance, environment=uat, kind="settings", title=f"Change the address of {uat.name}", by=by,
        at=NOW, before={"url": uat.url}, after={"url": "https://new.example/"},
    )  # fmt: skip
    far, hour = {"zone": "UTC", "begins": "2199-01-01T00:00"}, timedelta(hours=1)
    freeze = Freeze.objects.create(instance=uat.instance, by=by, at=NOW, reason="The end of it", lasts=hour, **far)
    over = {"at": NOW - 2 * hour, "expires_at": NOW - hour, "lifted_at": NOW - hour}
    lock = EnvironmentLock.objects.create(environment=uat, owner=by, reason="Load test", **over)
    return {"/proposals/": proposal.pk, "/freezes/": freeze.pk, "/locks/": lock.pk}


def log_in(name: str, client: Client | None = None) -> Client:
    """A browser in which this person has logged in by the form."""
    client = client or Client()
    answer = client.post("/login/", {"login": f"{name.lower()}@acme.example", "password": PASSWORD})
    assert answer.status_code == 302, answer.content.decode()
    return client


def all_rows(*, without: Iterable[str] = ("sessions.session",)) -> dict[str, str]:
    """A digest of the rows of each table: equal before and after means that nothing was changed."""
    skipped = {"contenttypes.contenttype", *without}
    return {
        model._meta.label_lower: _digest(model)
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and model._meta.label_lower not in skipped
    }


class Rows:
    """All rows, asked for again and again: they are read only when the database says that something was written."""

    def __init__(self, *, without: Iterable[str]) -> None:
        self._without = tuple(without)
        self._known: tuple[int, dict[str, str]] | None = None

    def now(self) -> dict[str, str]:
        """As `all_rows`."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT total_changes()")
            changes = int(cursor.fetchone()[0])
        if self._known is None or self._known[0] != changes:
            self._known = (changes, all_rows(without=self._without))
        return self._known[1]


def _digest(model: type[models.Model]) -> str:
    rows = model._default_manager.order_by("pk").values_list()
    return hashlib.sha256(repr(list(rows)).encode("utf-8", "surrogatepass")).hexdigest()


def routes() -> Iterator[tuple[str, URLPattern]]:
    """Every route of the product, with its whole pattern as text."""
    yield from _routes("", get_resolver().url_patterns)


def _routes(prefix: str, patterns: Iterable[URLPattern | URLResolver]) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        whole = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(whole, pattern.url_patterns)
        else:
            yield whole, pattern


class Samples(Protocol):
    """Whatever knows a value for each part of an address."""

    def sample(self, parameter: str, route: str) -> object:
        """A value that leads somewhere."""


def address(route: str, pattern: URLPattern, world: Samples) -> str:
    """An address that this route answers."""
    for name in pattern.pattern.converters:
        kind = route[: route.index(f":{name}>")].rpartition("<")[2]
        route = route.replace(f"<{kind}:{name}>", str(world.sample(name, route)))
    return f"/{route}"
