"""RA02: what every route answers to everybody, by method and object, as a text that can be reviewed.

`python -m tests.doors.matrix` writes `matrix.txt` anew; look at the difference before you commit it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploynaut.accounts.roles import Role

if TYPE_CHECKING:
    from django.urls import URLPattern

    from tests.doors.world import World

FILE = Path(__file__).with_name("matrix.txt")
WRITE = "WRITE_THE_MATRIX"
"""Set while the file is written anew."""

ACTORS = ("Vera", "Rob", "Mia", "Ida", "Olga", "Ada", "Sam", "nobody")
READING, OTHERS = ("GET", "POST"), ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
"""The first are asked of each object. The others are refused before an object is looked up: asked of one's own."""
HEAD = f"""# What every route answers to everybody. Made by `python -m tests.doors.matrix`; test_matrix.py compares.
# Vera: Viewer. Rob: Technical Staff. Mia: Deployment Manager. Ida: Instance Manager. Olga: Ops. Ada: Administrator.
# Sam: no role. nobody: not logged in. Forms are posted with little but a reason: 400, 302, 409: it was allowed.
# own: of acme, where they have their roles. foreign: of beta, where they have none. missing: nowhere. any: no object.
# login: sent to the log-in. fresh: a fresh log-in is asked for.
{"":34}{" ".join(f"{name:6}" for name in ACTORS)}
"""

STAGES = {
    "approval": "approval",
    "approve": "approval",
    "reject": "approval",
    "start": "confirm",
    "attend": "confirm",
    "rollback": "rollback_window",
    "dismiss": "rollback_window",
    "extend": "rollback_window",
    "withdraw": "good",
    "lift": "back",
    "resolve": "broken",
}
"""Where the deployment stands that a route is about, by the last word of the route."""
TYPED = f"reason=Because+it+must+be+so&answer=approve&plan_hash={'0' * 64}"

Answers = dict[str, dict[str, tuple[str, ...]]]
"""By method, by object: the answer to each of ACTORS."""


class Furnished:
    """A world with production releases at every gate, each on an environment of its own."""

    def __init__(self, world: World) -> None:
        from deploynaut.accounts.models import Grant
        from deploynaut.instances.models import Commit
        from deploynaut.notify.chats import Chat
        from tests.builders import NOW, make_deployment, make_environment, make_user

        self.world = world
        by, place = world.member, world.instance
        known = set(Grant.objects.filter(instance_id=place.pk).values_list("pk", flat=True))
        make_user("Bob", Role.DEPLOYMENT_MANAGER, instance=place)
        commit = Commit.objects.get(instance=place, hex=world.good.commit)
        self._at: dict[str, tuple[str, int]] = {}
        for stage in ("approval", "confirm", "rollback_window"):
            environment = make_environment(place, f"at-{stage.replace('_', '-')}", kind="production")
            deployment = make_deployment(environment, at=stage, by=by, commit=commit)
            self._at[stage] = (environment.name, deployment.number)
        chat = Chat.objects.create(instance=place, name="#releases", schema="json", added_at=NOW, added_by=by)
        world.guards["-/messages/<"] = chat.pk
        broken = make_environment(place, "broken")
        self._at["broken"] = (broken.name, make_deployment(broken, at="rollback failed", by=by).number)
        # The builder gives roles to whom it needs; nobody of PEOPLE may keep one on beta.
        Grant.objects.filter(instance_id=place.pk).exclude(pk__in=known).exclude(user__name="Bob").delete()

    def sample(self, parameter: str, route: str) -> object:
        """A value for a part of an address, of a deployment that stands where the route wants it."""
        stage = STAGES.get(route.rstrip("/").rpartition("/")[2])
        if stage in self._at and parameter in ("environment", "number"):
            return self._at[stage][parameter == "number"]
        if stage in ("good", "back") and parameter == "number":
            return getattr(self.world, stage).number
        return self.world.sample(parameter, route)


class Asker:
    """Asks every route on everybody's behalf; whatever a request changes is undone before the next."""

    def __init__(self) -> None:
        from django.test import Client

        from tests.doors.world import make_foreign_world, make_world

        self.own, self.foreign = Furnished(make_world()), Furnished(make_foreign_world())
        self._clients = {name: Client() if name == "nobody" else self.own.world.browser(name) for name in ACTORS}
        self._cookies = {name: client.cookies.output(header="", sep=";") for name, client in self._clients.items()}
        self.bodies: dict[tuple[str, str, str], str] = {}

    def answers(self, route: str, pattern: URLPattern) -> Answers:
        """All answers of one route."""
        places = self.places(route, pattern)
        first = dict(list(places.items())[:1])
        return {
            method: {
                kind: tuple(self._ask(name, method, where, kind) for name in ACTORS)
                for kind, where in (places if method in READING else first).items()
            }
            for method in (*READING, *OTHERS)
        }

    def places(self, route: str, pattern: URLPattern) -> dict[str, str]:
        """An address of each object."""
        from tests.doors.world import address

        kinds = {"instance", "environment", "number", "pk"} & set(pattern.pattern.converters)
        own = address(route, pattern, self.own)
        if not kinds:
            return {"any": own}
        foreign = address(route, pattern, self.foreign)
        return {"own": own, "foreign": foreign, "missing": _missing(route, own)}

    def _ask(self, name: str, method: str, where: str, kind: str) -> str:
        from django.core.cache import cache
        from django.db import transaction

        cache.clear()
        client = self._clients[name]
        client.raise_request_exception = False
        client.cookies = SimpleCookie(self._cookies[name])
        with transaction.atomic():
            answer = client.generic(method, where, TYPED, "application/x-www-form-urlencoded")
            transaction.set_rollback(True)
        if answer.status_code == 404 and not answer.streaming:
            self.bodies[name, f"{method} {where}", kind] = _digest(answer.content)
        return _word(answer.status_code, answer.headers.get("Location", ""))


def _missing(route: str, own: str) -> str:
    """The same address with a last part that leads nowhere."""
    parts = own.strip("/").split("/")
    last = max(number for number, part in enumerate(route.strip("/").split("/")) if part.startswith("<"))
    parts[last] = "987654321" if parts[last].isdigit() else "no-such-one"
    return f"/{'/'.join(parts)}{'/' if own.endswith('/') else ''}"


def _word(status: int, location: str) -> str:
    if location.startswith("/login/"):
        return "login"
    return "fresh" if location.startswith("/account/confirm/") else str(status)


def _digest(page: bytes) -> str:
    token = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]+"')
    return hashlib.sha256(token.sub(b"", page)).hexdigest()


def lines(answers: Answers) -> list[str]:
    """The answers of one route as text: methods and objects that are answered alike share a line."""
    alike: dict[str, list[str]] = {}
    for method, objects in answers.items():
        alike.setdefault(repr(objects), []).append(method)
    return [line for methods in alike.values() for line in _lines(methods, answers[methods[0]])]


def _lines(methods: Iterable[str], objects: Mapping[str, tuple[str, ...]]) -> list[str]:
    same: dict[tuple[str, ...], list[str]] = {}
    for kind, words in objects.items():
        same.setdefault(words, []).append(kind)
    what = " ".join(methods)
    found = []
    for words, kinds in same.items():
        codes = " ".join(f"{word:6}" for word in words).rstrip()
        found.append(f"  {what:<14} {' '.join(kinds):<16} {codes}" if len(what) < 15 else f"  {what}")
        if len(what) >= 15:
            found.append(f"  {'':14} {' '.join(kinds):<16} {codes}")
    return found


def blocks(text: str) -> dict[str, list[str]]:
    """The lines of each route in the file."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("/"):
            found[line] = current = []
        elif line.startswith("  ") and found and line.strip():
            current.append(line)
    return found


def as_text(answered: Mapping[str, list[str]]) -> str:
    """The whole file, the routes in order."""
    return HEAD + "".join(
        f"\n{route}\n" + "".join(f"{line}\n" for line in answered[route]) for route in sorted(answered)
    )


def main() -> int:
    """Ask everything again and write the file."""
    os.environ[WRITE] = "1"
    return int(pytest.main(["-q", "-p", "no:cacheprovider", str(Path(__file__).with_name("test_matrix.py"))]))


if __name__ == "__main__":
    sys.exit(main())
