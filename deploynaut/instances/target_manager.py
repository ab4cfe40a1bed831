"""How targets are added, confirmed and removed: at once, or by proposal where production is guarded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.instances.checks import check_target, confirmed, record, require_edit, save
from deploynaut.instances.proposal import Proposal, ProposalKind, Wish
from deploynaut.instances.tasks import begin_target_run
from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.instances.models import Environment, Target

DETAILS = ("reach", "address", "port", "user", "base", "page", "web", "db")
"""What a new target is made of."""


class TargetManager(models.Manager["Target"]):
    """Adds, confirms and removes targets. The verbs give the proposal that was made of them, where it takes two."""

    @transaction.atomic
    def add(
        self, *, environment: Environment, by: User | None, now: datetime, reason: str = "", **fields: Any
    ) -> Target | Proposal:
        """A new target. Over SSH its host key is being looked up, for a person to confirm; a local one is set up.

        Raises NotAllowed, and ValidationError naming the field.
        """
        if by is not None:
            require_edit(by, environment)
        target = self.model(environment=environment, **fields)
        check_target(target)
        if by is None or not _guarded(environment):
            return self.put(target, by=by, now=now)
        target.full_clean()
        after = {name: getattr(target, name) for name in DETAILS}
        about = f"{target.address}:{target.port}:{target.base}"
        wish = Wish(ProposalKind.TARGET_ADD, f"Add the target {target} to {environment.name}", {}, after, about)
        return _propose(wish, environment, by=by, now=now, reason=reason)

    @transaction.atomic
    def confirm(
        self, target: Target, *, fingerprint: str, by: User, now: datetime, reason: str = ""
    ) -> Proposal | None:
        """A person says that this is the host's key: it is pinned, and the target is set up.

        Raises NotAllowed; ValidationError when another key has been seen since the page was shown.
        """
        require_edit(by, target.environment)
        key = confirmed(target.host_key_seen, fingerprint)
        if not _guarded(target.environment):
            self.pin(target, key, fingerprint=fingerprint, by=by, now=now)
            return None
        before = {"target": str(target), "host_key": target.host_key}
        after = {"target": str(target), "host_key": key, "fingerprint": fingerprint}
        wish = Wish(ProposalKind.HOST_KEY, f"Confirm the host key of {target}", before, after, str(target.pk))
        return _propose(wish, target.environment, by=by, now=now, reason=reason)

    @transaction.atomic
    def remove(self, target: Target, *, by: User, now: datetime, reason: str = "") -> Proposal | None:
        """Release to it no more. Deployments of the past keep naming it; what lies on the host stays there.

        Raises NotAllowed; ValidationError while a deployment is open, or when no other host would serve pages.
        """
        require_edit(by, target.environment)
        reason = reason_of(reason, needed=False)
        check_removal(target)
        if not _guarded(target.environment):
            self.take_away(target, by=by, now=now, reason=reason)
            return None
        before = {"target": str(target), "base": target.base, "removed": False}
        after = {**before, "removed": True}
        title = f"Remove the target {target} from {target.environment.name}"
        wish = Wish(ProposalKind.TARGET_REMOVE, title, before, after, str(target.pk))
        return _propose(wish, target.environment, by=by, now=now, reason=reason)

    # --- what is done, once nobody has to be asked any more; the caller has checked the rights ---

    def put(self, target: Target, *, by: User | None, now: datetime) -> Target:
        """Store a new target and look at its host."""
        check_target(target)
        save(target)
        record("target added", target.environment, by=by, now=now, after={"target": str(target), "base": target.base})
        begin_target_run("scan" if target.reach == target.Reach.SSH else "set_up", target, now=now)
        return target

    def pin(self, target: Target, key: str, *, fingerprint: str, by: User, now: datetime) -> None:
        """Trust this key of the host, and set the target up."""
        before, target.host_key = target.host_key, key
        save(target)
        what = {"target": str(target), "fingerprint": fingerprint}
        record("host key confirmed", target.environment, by=by, now=now, before={"key": before}, after=what)
        begin_target_run("set_up", target, now=now)

    def take_away(self, target: Target, *, by: User, now: datetime, reason: str) -> None:
        """Keep the row for the history alone."""
        check_removal(target)
        if not self.filter(pk=target.pk, removed_at=None).update(removed_at=now):
            raise ValidationError(f"{target} has been removed already.")
        target.removed_at = now
        what = {"target": str(target), "base": target.base}
        record("target removed", target.environment, by=by, now=now, before=what, after={"reason": reason})


def check_removal(target: Target) -> None:
    """Raise ValidationError when this target cannot go now."""
    environment = target.environment
    if target.removed_at is not None:
        raise ValidationError(f"{target} has been removed already.")
    going_on = Run.objects.get_queryset().open().filter(lock_key=environment.lock)
    if (run := going_on.filter(kind="deployment").first()) is not None:
        raise ValidationError(f"{run.title} is open. A target is removed when it has ended.")
    if going_on.filter(kind__startswith="target_", subject_id=target.pk).exists():
        raise ValidationError(f"{target} is being looked at. Wait until that has ended.")
    others = environment.ready_targets().filter(web=True).exclude(pk=target.pk)
    if environment.released and target.web and target.set_up_at and not others.exists():
        raise ValidationError(f"{target} is the only host that serves {environment}. Add another one first.")


def _guarded(environment: Environment) -> bool:
    """Asked of the row as it is now, which nobody changes until we are done."""
    return type(environment)._default_manager.select_for_update().get(pk=environment.pk).guarded


def _propose(wish: Wish, environment: Environment, *, by: User, now: datetime, reason: str) -> Proposal:
    return Proposal.objects.propose(
        wish, instance=environment.instance, environment=environment, by=by, now=now, reason=reason
    )


def made_of(environment: Environment, details: Mapping[str, Any]) -> Target:
    """The target that a proposal describes, not stored yet."""
    from deploynaut.instances.models import Target

    return Target(environment=environment, **{name: details[name] for name in DETAILS})
