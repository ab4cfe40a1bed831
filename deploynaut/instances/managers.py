"""How instances, environments and targets come to be. Each verb is one transaction: right, rows, audit, run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.engine.connections.grammar import check_host, check_path, check_user
from deploynaut.engine.connections.host_keys import fingerprint as fingerprint_of
from deploynaut.engine.pipeline import SpecError, parse
from deploynaut.engine.recipes import RecipeError, make
from deploynaut.engine.repository import BadAddress, check_address, host_of, uses_ssh
from deploynaut.instances.hosts import check_hosts
from deploynaut.instances.versions import PipelineVersion
from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.instances.models import Environment, Instance, KeyPair, Target


OURS_BELOW_INSTANCES = frozenset({"new"})
OURS_BELOW_AN_INSTANCE = frozenset({"new", "compare", "settings", "snapshots"})
"""Names that are addresses of pages; nothing else can be called so."""


def local_repositories() -> Path | None:
    """Below this folder alone a repository may be a path: the demo's own; None outside the demo."""
    return Path(settings.DEPLOYNAUT_DATA) / "demo" if settings.DEPLOYNAUT_DEMO else None


class InstanceManager(models.Manager["Instance"]):
    """Creates instances."""

    @transaction.atomic
    def add(self, *, name: str, title: str, repository: str, by: User | None, now: datetime) -> Instance:
        """A new instance; its deploy key is being made by the worker. `by` None: the demo's own set-up.

        Raises NotAllowed, and ValidationError naming the field.
        """
        if by is not None:
            require(by, Right.CREATE_INSTANCE)
        instance = self.model(name=name, title=title or name, repository=repository, created_at=now)
        _check_name(name, OURS_BELOW_INSTANCES)
        _check_repository(repository)
        _save(instance)
        _record("instance created", instance, by=by, now=now, after={"repository": repository})
        begin_keys("instance", instance.pk, name=f"deploynaut {name}", lock=f"instance:{instance.pk}:key", now=now)
        begin_scan_of_repository(instance, now=now)
        return instance

    @transaction.atomic
    def confirm(self, instance: Instance, *, fingerprint: str, by: User, now: datetime) -> None:
        """A person says that this is the key of the repository's server: it is pinned, and fetches may begin.

        Raises NotAllowed; ValidationError when another key has been seen since the page was shown.
        """
        require(by, Right.EDIT_ENVIRONMENT, instance=instance.pk, place=instance.name)
        key = _confirmed(instance.repository_host_key_seen, fingerprint)
        before, instance.repository_host_key = instance.repository_host_key, key
        _save(instance)
        what = {"host key": key, "fingerprint": fingerprint}
        _record("repository host key confirmed", instance, by=by, now=now, before={"host key": before}, after=what)


class EnvironmentManager(models.Manager["Environment"]):
    """Adds environments."""

    @transaction.atomic
    def add(self, *, instance: Instance, by: User | None, now: datetime, **fields: Any) -> Environment:
        """A new environment; its SSH key is being made. `fields`: name, kind, url, recipe, recipe_options, pipeline.

        Raises NotAllowed, and ValidationError naming the field, with the pipeline's problems line by line.
        """
        if by is not None:
            require(by, Right.EDIT_ENVIRONMENT, instance=instance.pk, place=instance.name)
        environment = self.model(instance=instance, created_at=now, **fields)
        _check_name(environment.name, OURS_BELOW_AN_INSTANCE)
        check_environment(environment)
        _save(environment)
        PipelineVersion.objects.write(environment, by=by, now=now, reason="")
        after = {name: str(value) for name, value in fields.items()}
        _record("environment created", environment, by=by, now=now, after=after)
        lock = f"environment:{environment.pk}:key"
        begin_keys("environment", environment.pk, name=f"deploynaut {environment}", lock=lock, now=now)
        return environment

    @transaction.atomic
    def change(self, environment: Environment, *, by: User | None, now: datetime, **fields: Any) -> None:
        """Edit settings; they apply to the next deployment. `fields` as for `add`, but the name stays.

        Raises NotAllowed, ValidationError naming the field. The kind is fixed once it has been released to.
        """
        if by is not None:
            require_edit(by, environment)
        before = {name: str(getattr(environment, name)) for name in fields}
        if environment.last_number and fields.get("kind", environment.kind) != environment.kind:
            raise ValidationError({"kind": "The kind is fixed: this environment has been released to."})
        for name, value in fields.items():
            setattr(environment, name, value)
        check_environment(environment)
        _save(environment)
        if "pipeline" in fields and fields["pipeline"] != before["pipeline"]:
            PipelineVersion.objects.write(environment, by=by, now=now, reason="")
        after = {name: str(value) for name, value in fields.items()}
        _record("environment changed", environment, by=by, now=now, before=before, after=after)


class TargetManager(models.Manager["Target"]):
    """Adds targets."""

    @transaction.atomic
    def add(self, *, environment: Environment, by: User | None, now: datetime, **fields: Any) -> Target:
        """A new target. Over SSH its host key is being looked up, for a person to confirm; a local one is set up.

        Raises NotAllowed, and ValidationError naming the field.
        """
        if by is not None:
            require_edit(by, environment)
        target = self.model(environment=environment, **fields)
        _check_target(target)
        _save(target)
        _record("target added", environment, by=by, now=now, after={"target": str(target), "base": target.base})
        begin_target_run("scan" if target.reach == target.Reach.SSH else "set_up", target, now=now)
        return target

    @transaction.atomic
    def confirm(self, target: Target, *, fingerprint: str, by: User, now: datetime) -> None:
        """A person says that this is the host's key: it is pinned, and the target is set up.

        Raises NotAllowed; ValidationError when another key has been seen since the page was shown.
        """
        require_edit(by, target.environment)
        key = _confirmed(target.host_key_seen, fingerprint)
        before, target.host_key = target.host_key, key
        _save(target)
        what = {"target": str(target), "fingerprint": fingerprint}
        _record("host key confirmed", target.environment, by=by, now=now, before={"key": before}, after=what)
        begin_target_run("set_up", target, now=now)


def require_edit(by: User, environment: Environment) -> None:
    """The right to edit this environment, its targets and its pipeline. Raises NotAllowed."""
    require(
        by,
        Right.EDIT_ENVIRONMENT,
        instance=environment.instance_id,
        environment=environment.pk,
        place=environment.place,
    )


def _confirmed(seen: str, wanted: str) -> str:
    """The key among those seen that a person has confirmed. Raises ValidationError when it is not there any more."""
    key = next((line for line in seen.splitlines() if fingerprint_of(line) == wanted), "")
    if not key:
        raise ValidationError("The host shows another key now. Compare the fingerprint again.")
    return key


# --- what is checked before anything is stored ---


def _check_name(name: str, ours: frozenset[str]) -> None:
    if name in ours:
        raise ValidationError({"name": f"{name!r} is an address of Deploynaut's own. Choose another name."})


def _check_repository(address: str) -> None:
    try:
        check_address(address, allow_local_below=local_repositories())
    except BadAddress as error:
        raise ValidationError({"repository": str(error)}) from None


def check_environment(environment: Environment) -> None:
    """Hosts, recipe and pipeline are usable. Raises ValidationError naming the field."""
    environment.hosts = check_hosts(environment.hosts)
    try:
        make(environment.recipe, environment.recipe_options)
    except RecipeError as error:
        raise ValidationError({"recipe": str(error)}) from None
    try:
        parse(environment.pipeline, production=environment.production, name="pipeline")
    except SpecError as error:
        raise ValidationError({"pipeline": error.problems}) from None


def _check_target(target: Target) -> None:
    problems: dict[str, str] = {}
    checks: list[tuple[str, Any, str]] = [("base", check_path, target.base)]
    if target.reach == target.Reach.SSH:
        checks += [("address", check_host, target.address), ("user", check_user, target.user)]
    elif local_repositories() is None or not Path(target.base).is_relative_to(str(local_repositories())):
        problems["reach"] = "Targets on this machine are for the demo alone. Give the host's address, to go over SSH."
    for field, check, value in checks:
        try:
            check(value)
        except ValueError as error:
            problems[field] = str(error)
    if not target.roles:
        problems["web"] = "A target serves pages (web), or does what is done once (db), or both."
    if problems:
        raise ValidationError(problems)


def _save(row: models.Model) -> None:
    row.full_clean()
    try:
        row.save()
    except IntegrityError:
        raise ValidationError("Somebody has just saved the same. Look at the list again.") from None


def _record(action: str, subject: Any, *, by: User | None, now: datetime, **what: Any) -> None:
    kind = type(subject).__name__.lower()
    audit.record(action, actor=by, subject=audit.Subject(kind, subject.pk, str(subject)), now=now, **what)


# --- the slow parts are runs ---


def begin_keys(owner: str, owner_id: int, *, name: str, lock: str, now: datetime) -> KeyPair:
    """A key pair that the worker is asked to make."""
    from deploynaut.instances.models import KeyPair

    pair = KeyPair.objects.create(owner=owner, owner_id=owner_id, name=name)
    Run.objects.begin(kind="key", subject_id=pair.pk, title=f"key {name}", lock_key=lock, steps=["make_key"], now=now)
    return pair


def begin_scan_of_repository(instance: Instance, *, now: datetime) -> Run | None:
    """Look up the host key of the repository's server; None where there is none to look up (https, the demo)."""
    if ssh_place(instance.repository) is None:
        return None
    return Run.objects.begin(
        kind="repository_scan",
        subject_id=instance.pk,
        title=f"host key of {instance}'s repository",
        lock_key=instance.repository_lock,
        steps=["scan"],
        now=now,
    )


def ssh_place(address: str) -> tuple[str, int] | None:
    """Host and port of a repository's SSH server; None for an address that is not reached by SSH."""
    if not uses_ssh(address):
        return None
    port = urlsplit(address).port if "://" in address else None
    return host_of(address), port or 22


def begin_target_run(kind: str, target: Target, *, now: datetime) -> Run:
    """`scan`, `set_up` or `check` of a target, under the environment's lock."""
    return Run.objects.begin(
        kind=f"target_{kind}",
        subject_id=target.pk,
        title=f"{kind.replace('_', ' ')} of {target} for {target.environment}",
        lock_key=target.environment.lock,
        steps=[kind],
        now=now,
    )
