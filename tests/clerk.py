"""Does what people do, through the verbs, in a process of its own: one JSON line in, one JSON line out.

For stories that are not about the pages. The stage starts it with the installation's settings (`Stage.clerk`).
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import django

django.setup()

from deploynaut.accounts.models import Grant, User  # noqa: E402
from deploynaut.accounts.roles import Role  # noqa: E402
from deploynaut.deployments.bars import Bar  # noqa: E402
from deploynaut.deployments.counts import begin_count, compared  # noqa: E402
from deploynaut.deployments.dry_runs import begin_dry_run  # noqa: E402
from deploynaut.deployments.models import Deployment  # noqa: E402
from deploynaut.durable import port  # noqa: E402
from deploynaut.engine.connections.host_keys import fingerprint  # noqa: E402
from deploynaut.instances.fetching import begin_fetch  # noqa: E402
from deploynaut.instances.managers import begin_target_run  # noqa: E402
from deploynaut.instances.models import Environment, Instance, KeyPair, Target  # noqa: E402
from deploynaut.instances.revisions import choose  # noqa: E402
from deploynaut.notify.models import Gateway, MailServer  # noqa: E402


def begin(*, environment: str, by: str, value: str, who: str) -> int:
    """Begin the release process; the number of the deployment. What was rolled back before is let in again."""
    where = _environment(environment)
    revision = choose(where.instance, by=by, text=value)
    if (bar := Bar.objects.standing(where, revision.commit)) is not None:
        bar.lift(by=_person("Mia"), reason="The story goes on with the same release.", now=port.now())
    return Deployment.objects.begin(environment=where, by=_person(who), revision=revision, now=port.now()).number


def abort(*, environment: str, number: int, who: str) -> None:
    """Abort Pipeline."""
    _deployment(environment, number).abort(by=_person(who), now=port.now())


def approve(*, environment: str, number: int, who: str) -> None:
    """Approve the plan that stands."""
    deployment = _deployment(environment, number)
    deployment.approve(by=_person(who), plan_hash=deployment.plan_hash, now=port.now())


def start(*, environment: str, number: int, who: str) -> None:
    """The final Deploy."""
    deployment = _deployment(environment, number)
    deployment.start(by=_person(who), plan_hash=deployment.plan_hash, now=port.now())


def roll_back(*, environment: str, number: int, who: str, code_only: bool = False) -> None:
    """Rollback in the window."""
    _deployment(environment, number).roll_back(by=_person(who), now=port.now(), code_only=code_only)


def dismiss(*, environment: str, number: int, who: str) -> None:
    """Dismiss the window."""
    _deployment(environment, number).dismiss(by=_person(who), now=port.now())


def count_rows(*, environment: str, number: int, who: str) -> int:
    """Have the rows counted; the run's id."""
    return int(begin_count(_deployment(environment, number), by=_person(who), now=port.now()).pk)


def compared_rows(*, environment: str, number: int) -> dict[str, list[int | None]] | None:
    """Rows then and now, by table; None before they were counted."""
    found = compared(_deployment(environment, number))
    return found and {table.name: [table.then, table.now] for table in found[0]}


def dry_run(*, environment: str, by: str, value: str, who: str) -> int:
    """All but the touching; the run's id."""
    where = _environment(environment)
    revision = choose(where.instance, by=by, text=value)
    return int(begin_dry_run(where, revision=revision, by=_person(who), now=port.now()).pk)


def fetch(*, instance: str, who: str) -> int:
    """Fetch latest changes; the run's id."""
    return int(begin_fetch(Instance.objects.get(name=instance), by=_person(who), now=port.now()).pk)


def add_environment(*, name: str, like: str, who: str, **fields: Any) -> str:
    """Another environment of the same instance, with the settings of `like` where `fields` has none."""
    other = _environment(like)
    given = {"kind": other.kind, "recipe": other.recipe, "recipe_options": other.recipe_options, **fields}
    made = Environment.objects.add(instance=other.instance, by=_person(who), now=port.now(), name=name, **given)
    return str(made)


def change_environment(*, environment: str, who: str, **fields: Any) -> None:
    """Edit its settings."""
    Environment.objects.change(_environment(environment), by=_person(who), now=port.now(), **fields)


def add_target(*, environment: str, who: str, **fields: Any) -> int:
    """A host of the environment; its id."""
    where = _environment(environment)
    return int(Target.objects.add(environment=where, by=_person(who), now=port.now(), **fields).pk)


def confirm(*, target: int, who: str) -> str:
    """The host key that was seen is the right one."""
    found = Target.objects.select_related("environment__instance").get(pk=target)
    seen = fingerprint(found.host_key_seen.splitlines()[0])
    Target.objects.confirm(found, fingerprint=seen, by=_person(who), now=port.now())
    return seen


def check(*, target: int) -> int:
    """Check connection; the run's id."""
    found = Target.objects.select_related("environment__instance").get(pk=target)
    return int(begin_target_run("check", found, now=port.now()).pk)


def grant(*, to: str, role: str, instance: str, who: str) -> None:
    """Give somebody a role on an instance."""
    where = Instance.objects.get(name=instance)
    Grant.objects.give(by=_person(who), to=_person(to), role=Role(role), instance=where.pk, now=port.now())


def set_gateway(*, url: str, who: str = "Ada") -> None:
    """Texts go there from now on (tests/sinks.py has gateways)."""
    Gateway.objects.change(url=url, by=_person(who), now=port.now())


def set_mail_server(*, host: str = "127.0.0.1", tcp: int, who: str = "Ada") -> None:
    """Mail goes there from now on, without TLS."""
    plain: dict[str, Any] = {"host": host, "port": tcp, "tls": "none", "user": "", "sender": "deploy@demo.example"}
    MailServer.objects.change(by=_person(who), now=port.now(), **plain)


def verify_phone(*, who: str, phone: str) -> None:
    """The number is theirs, as if they had typed the code."""
    person = _person(who)
    person.introduce(name=person.name, phone=phone, now=port.now())
    person.take_phone(now=port.now())


def public_key(*, environment: str) -> str:
    """The public half of the environment's SSH key; empty while it is being made."""
    return KeyPair.objects.get(owner="environment", owner_id=_environment(environment).pk).public


ACTS: dict[str, Callable[..., Any]] = {
    act.__name__: act
    for act in (
        begin,
        abort,
        approve,
        start,
        roll_back,
        dismiss,
        count_rows,
        compared_rows,
        dry_run,
        fetch,
        add_environment,
        change_environment,
        add_target,
        confirm,
        check,
        grant,
        public_key,
        set_gateway,
        set_mail_server,
        verify_phone,
    )
}


def _environment(name: str) -> Environment:
    return Environment.objects.select_related("instance").get(name=name)


def _deployment(environment: str, number: int) -> Deployment:
    return Deployment.objects.get_queryset().for_page().get(environment=_environment(environment), number=number)


def _person(name: str) -> User:
    return User.objects.get(name=name)


def main() -> None:
    """Until the input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"ok": ACTS[order["act"]](**order["words"])}
        except Exception as error:
            traceback.print_exc()
            answer = {"refused": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
