"""The demo instance: people, one instance with uat and prod on this machine, its repository fetched. Repeatable."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from demo.layout import PEOPLE, Demo, Person
from demo.repository import build
from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.roles import Role
from deploynaut.instances.fetching import begin_fetch
from deploynaut.instances.models import Environment, Instance, Kind, Target

NAME = "council"
SITES = (("uat", Kind.UAT), ("prod", Kind.PRODUCTION))
RECIPE = {
    "build": [],
    "migrate": ["python3", "migrate.py"],
    "database": {"kind": "sqlite", "path": "shared/content.sqlite3"},
    "release_url": "/.well-known/deploynaut-release",
}
PIPELINE = """\
description: {words}
steps:
{steps}
smoke_tests:
  home: {{url: "{url}/", contains: "Kererū Valley Council", within: 5s}}
  search: {{url: "{url}/search?q=trees", contains: "Winter planting", within: 5s}}
keep_releases: 5
"""
PRODUCTION = """\
description: {words}
promote_from: uat
steps:
  - approval: {{ask: [[deployment-managers], [instance-managers]], escalate_after: 10m, expires_after: 7d}}
  - confirm: {{expires_after: 1d}}
  - prepare
  - backup
  - release
  - smoke_tests: {{attempts: 2, delay: 1s}}
  - rollback_window: {{lasts: 1h}}
smoke_tests:
  home: {{url: "{url}/", contains: "Kererū Valley Council", within: 5s}}
  search: {{url: "{url}/search?q=trees", contains: "Winter planting", within: 5s}}
  contact: {{url: "{url}/about", contains: "Call the council", within: 5s}}
keep_releases: 5
"""
STEPS = "  - backup\n  - release\n  - smoke_tests: {attempts: 2, delay: 1s}"
WORDS = {
    "uat": "A release to uat needs no approval. The database is saved first; a failing test puts everything back.",
    "prod": "Production of the council's site. Only what passed uat can be chosen; Mia approves, after 10 minutes Ada.",
}


def pipeline(name: str, url: str) -> str:
    """The pipeline file of one of the two environments."""
    text = PRODUCTION if dict(SITES)[name] is Kind.PRODUCTION else PIPELINE
    return text.format(words=WORDS[name], steps=STEPS, url=url)


def set_up(demo: Demo, *, now: datetime) -> Instance:
    """Make what is missing and bring the addresses up to date; the slow parts are runs for a worker."""
    if not demo.repository.exists():
        build(demo.repository)
    for person in PEOPLE:
        _person(person, demo.password, now)
    instance = Instance.objects.filter(name=NAME).first() or _instance(demo, now)
    for name, kind in SITES:
        _environment(instance, name, kind, demo, now)
    for person in PEOPLE:
        _grants(person, instance, now)
    if instance.fetched_at is None:
        begin_fetch(instance, by=None, now=now)
    return instance


def _person(person: Person, password: str, now: datetime) -> None:
    """With a verified number: in the demo texts are read on the page of messages."""
    if not User.objects.filter(email=person.email).exists():
        phone = person.phone
        made = User.objects.create_person(email=person.email, name=person.name, password=password, phone=phone, now=now)
        made.take_phone(now=now)


def _instance(demo: Demo, now: datetime) -> Instance:
    title = "Kererū Valley Council"
    return Instance.objects.add(name=NAME, title=title, repository=str(demo.repository), by=None, now=now)


def _environment(instance: Instance, name: str, kind: Kind, demo: Demo, now: datetime) -> None:
    url = demo.url(name)
    found = Environment.objects.filter(instance=instance, name=name).first()
    if found is None:
        facts: dict[str, Any] = {"url": f"{url}/", "pipeline": pipeline(name, url)}
        found = Environment.objects.add(
            instance=instance, name=name, kind=kind, recipe="plain", recipe_options=RECIPE, by=None, now=now, **facts
        )
    elif found.url != f"{url}/":
        # Another port than last time; what somebody has written into the pipeline since then stays.
        text = found.pipeline.replace(found.url.rstrip("/"), url)
        Environment.objects.change(found, by=None, now=now, url=f"{url}/", pipeline=text)
    base, reach = str(demo.base(name)), Target.Reach.LOCAL
    if not found.targets.exists():
        demo.base(name).mkdir(parents=True, exist_ok=True)
        Target.objects.add(environment=found, reach=reach, base=base, db=True, page=url, by=None, now=now)
    found.targets.exclude(page=url).update(page=url)


def _grants(person: Person, instance: Instance, now: datetime) -> None:
    user = User.objects.get(email=person.email)
    for role in map(Role, person.roles):
        place = None if role is Role.ADMINISTRATOR else instance.pk
        if not Grant.objects.filter(user=user, role=role, instance_id=place).exists():
            Grant.objects.give(by=None, to=user, role=role, instance=place, now=now)
