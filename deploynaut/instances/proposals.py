"""Changes of what guards production take two people: somebody proposes, somebody else confirms or refuses.

The settings, the pipeline and the targets make their own proposals (`Environment.objects.change`, `Target.objects`);
here are those of roles, and the answers to all of them.
"""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet

from deploynaut.accounts import audit
from deploynaut.accounts.in_hand import InHand, in_hand
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import Rights, UserRights, require
from deploynaut.accounts.roles import RIGHTS, Right, Role
from deploynaut.accounts.same_person import same_person
from deploynaut.instances import changes, roles
from deploynaut.instances.models import Environment, Instance
from deploynaut.instances.proposal import AlreadyAnswered, Proposal, ProposalStatus

__all__ = ["AlreadyAnswered", "NotByYou", "change_role", "confirm", "refuse", "waiting", "why_not", "withdraw"]


class NotByYou(PermissionDenied):
    """The rights are there, but this person may not give this answer; the text says why."""


@transaction.atomic
def change_role(
    *,
    instance: Instance,
    environment: Environment | None = None,
    by: User | None,
    to: User,
    role: Role,
    give: bool,
    now: datetime,
    reason: str = "",
) -> Proposal | None:
    """Give or take a role. None: done. A role that may approve on production that has been released to: a proposal.

    Raises NotAllowed, ValidationError (`role`, `person`, `reason`), AlreadyGiven, NotGiven, BadGrant.
    """
    place = environment.place if environment else instance.name
    if by is not None:
        where = environment.pk if environment else None
        require(by, Right.EDIT_MEMBERS, instance=instance.pk, environment=where, place=place)
    Instance.objects.select_for_update().get(pk=instance.pk)
    if by is None or not roles.guarded(instance, environment, role):
        roles.change(instance=instance, environment=environment, by=by, to=to, role=role, give=give, now=now)
        return None
    roles.check(instance=instance, environment=environment, by=by, to=to, role=role, give=give)
    wish = roles.wish(to=to, role=role, environment=environment, give=give, place=place)
    return Proposal.objects.propose(wish, instance=instance, environment=environment, by=by, now=now, reason=reason)


def confirm(proposal: Proposal, *, by: User, now: datetime, reason: str = "") -> Proposal:
    """Let it be done, now; the proposal as it then is: confirmed, or overtaken, and then nothing was changed.

    Raises NotAllowed, NotByYou, AlreadyAnswered, ValidationError (it cannot be valid now; it goes on waiting).
    """
    words = reason_of(reason, needed=False)
    _may_answer(proposal, by=by, now=now, action="confirmation of a proposal")
    with transaction.atomic():
        found = _locked(proposal)
        # Asked again: between the question and the lock a right may have gone.
        _require(found, by)
        if why := changes.overtaken(found):
            found.close(ProposalStatus.OVERTAKEN, by=by, now=now, reason=why)
            return found
        found.close(ProposalStatus.CONFIRMED, by=by, now=now, reason=words)
        changes.apply(found, now=now)
    return found


def refuse(proposal: Proposal, *, by: User, reason: str, now: datetime) -> Proposal:
    """It is not to be done. Raises NotAllowed, NotByYou, AlreadyAnswered, ValidationError (`reason`)."""
    words = reason_of(reason)
    _may_answer(proposal, by=by, now=now, action="refusal of a proposal")
    with transaction.atomic():
        found = _locked(proposal)
        found.close(ProposalStatus.REFUSED, by=by, now=now, reason=words)
    return found


def withdraw(proposal: Proposal, *, by: User, now: datetime, reason: str = "") -> Proposal:
    """Who proposed it thinks better of it. Raises NotByYou, AlreadyAnswered, ValidationError (`reason`)."""
    words = reason_of(reason, needed=False)
    if proposal.by_id != by.pk:
        _deny(proposal, by, now, "withdrawal of a proposal", f"{proposal.by.name} alone can withdraw this. Refuse it.")
    with transaction.atomic():
        found = _locked(proposal)
        found.close(ProposalStatus.WITHDRAWN, by=by, now=now, reason=words)
    return found


def waiting(user: User, rights: UserRights | None = None) -> QuerySet[Proposal]:
    """The open proposals of others that this person has the right to answer: for whoever shows what waits for them."""
    held = rights or Rights.of(user)
    narrowed = held.environments(Right.CONFIRM_PROPOSAL, instance="instance_id", environment="environment_id")
    whole = held.instances(Right.CONFIRM_PROPOSAL, field="instance_id") & Q(environment=None)
    return Proposal.objects.open().filter((narrowed & Q(environment__isnull=False)) | whole).exclude(by=user)


def why_not(proposal: Proposal, *, by: User, now: datetime) -> str:
    """Why this person may not confirm or refuse it, though they have the right; empty when they may."""
    if same_person(by, proposal.by):
        own = "You proposed this" if by.pk == proposal.by_id else f"{proposal.by.name} has an e-mail address of yours"
        return f"{own}: somebody else has to answer."
    hand = in_hand(proposal.by, now=now)
    if not _settled(proposal, by, hand):
        return f"Your role here came from {proposal.by.name} less than 24 hours ago. {_SOMEBODY_ELSE}"
    if by.pk in hand.opened:
        return f"{proposal.by.name} has made a password link for you less than 24 hours ago. {_SOMEBODY_ELSE}"
    return ""


def _may_answer(proposal: Proposal, *, by: User, now: datetime, action: str) -> None:
    """Outside the transaction, so that the row of the audit trail stays when the act is refused."""
    _require(proposal, by)
    if words := why_not(proposal, by=by, now=now):
        _deny(proposal, by, now, action, words)


def _require(proposal: Proposal, by: User) -> None:
    instance, environment = proposal.instance_id, proposal.environment_id
    require(by, Right.CONFIRM_PROPOSAL, instance=instance, environment=environment, place=proposal.place)


def _deny(proposal: Proposal, by: User, now: datetime, action: str, words: str) -> None:
    proposal.record(action, by=by, now=now, reason=words, result=audit.Result.DENIED)
    raise NotByYou(words)


_SOMEBODY_ELSE = "Somebody else has to answer."


def _settled(proposal: Proposal, by: User, hand: InHand) -> bool:
    """One of the roles that let this person answer is older, or does not come from the proposer in any way."""
    there = Q(instance_id=None) | Q(instance_id=proposal.instance_id, environment_id=None)
    if proposal.environment_id is not None:
        there |= Q(instance_id=proposal.instance_id, environment_id=proposal.environment_id)
    fitting = [role.value for role in Role if Right.CONFIRM_PROPOSAL in RIGHTS[role]]
    return any(not hand.gave(one) for one in by.grants.filter(there, role__in=fitting))


def _locked(proposal: Proposal) -> Proposal:
    """The proposal as it is now, with instance and environment locked in this order. Raises AlreadyAnswered."""
    Instance.objects.select_for_update().get(pk=proposal.instance_id)
    if proposal.environment_id is not None:
        Environment.objects.select_for_update().get(pk=proposal.environment_id)
    rows = Proposal.objects.select_for_update(of=("self",))
    found = rows.select_related("instance", "environment__instance", "by", "answered_by").get(pk=proposal.pk)
    if not found.is_open:
        raise AlreadyAnswered(found)
    return found
