"""How instances and environments come to be and change. Each verb is one transaction: right, rows, audit, run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.instances.checks import (
    check_environment,
    check_name,
    check_repository,
    confirmed,
    local_repositories,
    record,
    require_edit,
    save,
)
from deploynaut.instances.proposal import Proposal, ProposalKind, Wish
from deploynaut.instances.target_manager import TargetManager
from deploynaut.instances.tasks import begin_keys, begin_scan_of_repository, begin_target_run, ssh_place
from deploynaut.instances.versions import PipelineVersion
from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.instances.models import Environment, Instance

__all__ = [
    "EnvironmentManager", "InstanceManager", "TargetManager", "begin_keys", "begin_target_run", "local_repositories",
    "require_edit", "ssh_place",
]  # fmt: skip

OURS_BELOW_INSTANCES = frozenset({"new"})
OURS_BELOW_AN_INSTANCE = frozenset({"new", "compare", "settings", "snapshots"})
"""Names that are addresses of pages; nothing else can be called so."""
GUARDED = frozenset({"url", "recipe", "recipe_options", "pipeline", "hosts"})
"""What guards a production environment: once it has been released to, two people change it."""


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
        check_name(name, OURS_BELOW_INSTANCES)
        check_repository(repository)
        save(instance)
        record("instance created", instance, by=by, now=now, after={"repository": repository})
        begin_keys("instance", instance.pk, name=f"deploynaut {name}", lock=f"instance:{instance.pk}:key", now=now)
        begin_scan_of_repository(instance, now=now)
        return instance

    @transaction.atomic
    def confirm(self, instance: Instance, *, fingerprint: str, by: User, now: datetime) -> None:
        """A person says that this is the key of the repository's server: it is pinned, and fetches may begin.

        Raises NotAllowed; ValidationError when another key has been seen since the page was shown.
        """
        require(by, Right.EDIT_ENVIRONMENT, instance=instance.pk, place=instance.name)
        key = confirmed(instance.repository_host_key_seen, fingerprint)
        before, instance.repository_host_key = instance.repository_host_key, key
        save(instance)
        what = {"host key": key, "fingerprint": fingerprint}
        record("repository host key confirmed", instance, by=by, now=now, before={"host key": before}, after=what)


class EnvironmentManager(models.Manager["Environment"]):
    """Adds and changes environments."""

    @transaction.atomic
    def add(self, *, instance: Instance, by: User | None, now: datetime, **fields: Any) -> Environment:
        """A new environment; its SSH key is being made. `fields`: name, kind, url, recipe, recipe_options, pipeline,
        hosts.

        Raises NotAllowed, and ValidationError naming the field, with the pipeline's problems line by line.
        """
        if by is not None:
            require(by, Right.EDIT_ENVIRONMENT, instance=instance.pk, place=instance.name)
        environment = self.model(instance=instance, created_at=now, **fields)
        check_name(environment.name, OURS_BELOW_AN_INSTANCE)
        check_environment(environment, placed=by is not None)
        save(environment)
        PipelineVersion.objects.write(environment, by=by, now=now, reason="")
        after = {name: str(value) for name, value in fields.items()}
        record("environment created", environment, by=by, now=now, after=after)
        lock = f"environment:{environment.pk}:key"
        begin_keys("environment", environment.pk, name=f"deploynaut {environment}", lock=lock, now=now)
        return environment

    @transaction.atomic
    def change(
        self, environment: Environment, *, by: User | None, now: datetime, reason: str = "", **fields: Any
    ) -> Proposal | None:
        """Edit settings; they apply to the next deployment. `fields` as for `add`, but the name stays.

        None: done. On a production environment that has been released to, what guards it becomes a proposal, which
        somebody else confirms; `environment` is then as it was. Raises NotAllowed, ValidationError naming the field.
        """
        if by is not None:
            require_edit(by, environment)
        reason = reason_of(reason, needed=False)
        stored = self.select_for_update().get(pk=environment.pk)
        changed = {name: value for name, value in fields.items() if value != getattr(stored, name)}
        if stored.last_number and "kind" in changed:
            raise ValidationError({"kind": "The kind is fixed: this environment has been released to."})
        guarded = GUARDED & set(changed) if by is not None and stored.guarded else set()
        at_once = {name: value for name, value in changed.items() if name not in guarded}
        self.alter(stored, at_once, by=by, now=now, reason=reason)
        for name in at_once:
            setattr(environment, name, getattr(stored, name))
        if by is None or not guarded:
            return None
        wish = _wish(stored, {name: changed[name] for name in sorted(guarded)})
        return Proposal.objects.propose(
            wish, instance=stored.instance, environment=stored, by=by, now=now, reason=reason
        )

    def alter(
        self,
        environment: Environment,
        fields: Mapping[str, Any],
        *,
        by: User | None,
        now: datetime,
        reason: str = "",
        proposal: Proposal | None = None,
    ) -> None:
        """Set and store the fields of a row that is locked, without asking for a right. Raises ValidationError."""
        if not fields:
            return
        before = {name: str(getattr(environment, name)) for name in fields}
        for name, value in fields.items():
            setattr(environment, name, value)
        check_environment(environment, placed=by is not None)
        save(environment)
        if "pipeline" in fields:
            PipelineVersion.objects.write(environment, by=by, now=now, reason=reason, proposal=proposal)
        after = {name: str(getattr(environment, name)) for name in fields}
        record("environment changed", environment, by=by, now=now, before=before, after=after)
        Run.objects.wake_waiting(environment.lock)


def _wish(environment: Environment, changed: Mapping[str, Any]) -> Wish:
    """What is to change, looked at as if it were done: what cannot be used is refused now, not when it is confirmed."""
    before = {name: getattr(environment, name) for name in changed}
    for name, value in changed.items():
        setattr(environment, name, value)
    check_environment(environment, placed=True)
    environment.full_clean()
    after = {name: getattr(environment, name) for name in changed}
    environment.refresh_from_db(fields=list(changed))
    kind = ProposalKind.PIPELINE if set(changed) == {"pipeline"} else ProposalKind.SETTINGS
    *most, last = (word for name, word in _WORDS.items() if name in changed)
    words = f"{', '.join(most)} and {last}" if most else last
    return Wish(kind, f"Change the {words} of {environment.name}", before, after)


_WORDS = {
    "url": "address",
    "recipe": "recipe",
    "recipe_options": "recipe options",
    "hosts": "test hosts",
    "pipeline": "pipeline",
}
