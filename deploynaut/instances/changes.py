"""What a proposal does when it is confirmed, and whether what it was based on still holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.rights import Rights
from deploynaut.accounts.roles import Right, Role
from deploynaut.instances import roles
from deploynaut.instances.models import Environment, Target
from deploynaut.instances.proposal import Proposal, ProposalKind
from deploynaut.instances.target_manager import made_of


def overtaken(proposal: Proposal) -> str:
    """Why it cannot be done any more, in words; empty when it can. Call it with the rows locked."""
    right = Right.EDIT_MEMBERS if proposal.kind == ProposalKind.ROLE else Right.EDIT_ENVIRONMENT
    if not Rights.of(proposal.by).may(right, instance=proposal.instance_id, environment=proposal.environment_id):
        return f"{proposal.by.name} may not {right.deed} {proposal.place} any more."
    return "" if _HOLDS[ProposalKind(proposal.kind)](proposal) else "What it was based on has changed meanwhile."


def apply(proposal: Proposal, *, now: datetime) -> None:
    """Do it, in the proposer's name. Raises ValidationError when it cannot be valid now."""
    _DO[ProposalKind(proposal.kind)](proposal, now)


# --- settings and pipeline ---


def _settings_hold(proposal: Proposal) -> bool:
    environment = _environment(proposal)
    return all(getattr(environment, name) == value for name, value in proposal.before.items())


def _change_settings(proposal: Proposal, now: datetime) -> None:
    Environment.objects.alter(
        _environment(proposal), proposal.after, by=proposal.by, now=now, reason=proposal.reason, proposal=proposal
    )


def _environment(proposal: Proposal) -> Environment:
    """As it is now; the one that came with the proposal may be older."""
    assert proposal.environment_id is not None
    return Environment.objects.select_related("instance").get(pk=proposal.environment_id)


# --- targets ---


def _add_target(proposal: Proposal, now: datetime) -> None:
    Target.objects.put(made_of(_environment(proposal), proposal.after), by=proposal.by, now=now)


def _target(proposal: Proposal) -> Target | None:
    """The target in question, as it is now; None when it has been removed."""
    found = Target.objects.filter(pk=int(proposal.about), removed_at=None)
    return found.select_related("environment__instance").first()


def _key_holds(proposal: Proposal) -> bool:
    target = _target(proposal)
    seen = target.host_key_seen.splitlines() if target else []
    return target is not None and target.host_key == proposal.before["host_key"] and proposal.after["host_key"] in seen


def _pin(proposal: Proposal, now: datetime) -> None:
    target, after = _target(proposal), proposal.after
    assert target is not None
    Target.objects.pin(target, after["host_key"], fingerprint=after["fingerprint"], by=proposal.by, now=now)


def _remove_target(proposal: Proposal, now: datetime) -> None:
    target = _target(proposal)
    assert target is not None
    Target.objects.take_away(target, by=proposal.by, now=now, reason=proposal.reason)


# --- roles ---


def _role_holds(proposal: Proposal) -> bool:
    given = Grant.objects.filter(
        user=proposal.after["person"],
        role=proposal.after["role"],
        instance_id=proposal.instance_id,
        environment_id=proposal.environment_id,
    )
    return given.exists() is bool(proposal.before["given"])


def _change_role(proposal: Proposal, now: datetime) -> None:
    roles.change(
        instance=proposal.instance,
        environment=proposal.environment,
        by=proposal.by,
        to=User.objects.get(pk=proposal.after["person"]),
        role=Role(proposal.after["role"]),
        give=proposal.after["given"],
        now=now,
    )


_HOLDS: Mapping[ProposalKind, Callable[[Proposal], bool]] = {
    ProposalKind.SETTINGS: _settings_hold,
    ProposalKind.PIPELINE: _settings_hold,
    ProposalKind.TARGET_ADD: lambda proposal: True,
    ProposalKind.HOST_KEY: _key_holds,
    ProposalKind.TARGET_REMOVE: lambda proposal: _target(proposal) is not None,
    ProposalKind.ROLE: _role_holds,
}
_DO: Mapping[ProposalKind, Callable[[Proposal, datetime], None]] = {
    ProposalKind.SETTINGS: _change_settings,
    ProposalKind.PIPELINE: _change_settings,
    ProposalKind.TARGET_ADD: _add_target,
    ProposalKind.HOST_KEY: _pin,
    ProposalKind.TARGET_REMOVE: _remove_target,
    ProposalKind.ROLE: _change_role,
}
