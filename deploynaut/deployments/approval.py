"""Approval: who is asked and when, who may answer, and the answers.

Groups are asked one after the other, the first again after the last. An answer is for one plan, told by its hash, and
for one deployment: a partial unique index keeps a second one out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.db import models

from deploynaut.accounts.in_hand import InHand, in_hand
from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.rights import NotAllowed, require, who_may
from deploynaut.accounts.roles import RIGHTS, Right, Role
from deploynaut.accounts.same_person import others, same_person
from deploynaut.instances.approvers import people
from deploynaut.instances.models import Environment

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment


class Asked(models.Model):
    """Somebody was asked to approve: in which round (a void approval begins a new one) and with which group."""

    deployment = models.ForeignKey("deployments.Deployment", on_delete=models.CASCADE, related_name="requests")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    round = models.PositiveSmallIntegerField()
    group = models.PositiveSmallIntegerField()
    at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.user} was asked about {self.deployment}"


class Answer(models.Model):
    """Approved or rejected: by whom, for which plan. `void_at`: what was approved has changed since."""

    deployment = models.ForeignKey("deployments.Deployment", on_delete=models.CASCADE, related_name="answers")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    approved = models.BooleanField()
    plan_hash = models.CharField(max_length=64)
    reason = models.TextField(blank=True)
    at = models.DateTimeField()
    void_at = models.DateTimeField(null=True)
    void_reason = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["deployment"], condition=models.Q(void_at__isnull=True), name="one_answer_a_deployment"
            )
        ]

    def __str__(self) -> str:
        return f"{self.by} {'approved' if self.approved else 'rejected'} {self.deployment}"


class OnesOwn(NotAllowed):
    """Nobody approves their own release, by no role and with no second account."""

    def _words(self) -> str:
        return f"You may not approve or reject your own release to {self.place}: somebody else has to look at it."


class TooNew(NotAllowed):
    """The right to approve came from the initiator a short time ago, perhaps through others."""

    def _words(self) -> str:
        return (
            f"You may not approve this release to {self.place} yet: your right to do so came from whoever began it, "
            f"perhaps through others, less than 24 hours ago. Somebody else has to look at it."
        )


class KeyHeld(NotAllowed):
    """Whoever began the release came by a password link for this account a short time ago, and could have used it."""

    def _words(self) -> str:
        return (
            f"You may not approve this release to {self.place} yet: whoever began it has made a password link for your "
            f"account, perhaps through others, less than 24 hours ago. Somebody else has to look at it."
        )


def require_answer(by: User, deployment: Deployment, *, now: datetime) -> None:
    """The right to approve or reject this deployment. Raises NotAllowed, OnesOwn, TooNew, KeyHeld."""
    where = deployment.environment
    require(by, Right.APPROVE, instance=where.instance_id, environment=where.pk, place=where.place)
    facts: Any = {"instance": where.instance_id, "environment": where.pk, "place": where.place}
    if any(same_person(by, one) for one in whose(deployment)):
        raise OnesOwn(by, Right.APPROVE, **facts)
    hand = in_hand(deployment.initiator, now=now)
    if not _settled_on(where, Right.APPROVE, hand).filter(user=by).exists():
        raise TooNew(by, Right.APPROVE, **facts)
    if by.pk in hand.opened:
        raise KeyHeld(by, Right.APPROVE, **facts)


def whose(deployment: Deployment) -> list[User]:
    """Whose release it is, so that somebody else has to look at it.

    Once the plan has changed it is also the attendant's, who presses Deploy on what the initiator never asked for.
    """
    changed = deployment.round > 1 and deployment.attended_by is not None
    return [deployment.initiator, deployment.attendant] if changed else [deployment.initiator]


def may_answer(by: User, deployment: Deployment, *, now: datetime) -> str:
    """Why this person may not approve or reject it; empty when they may."""
    try:
        require_answer(by, deployment, now=now)
    except NotAllowed as refusal:
        return str(refusal)
    return ""


class OwnMaking(NotAllowed):
    """The right came from the person's own hand a short time ago, perhaps through others."""

    def _words(self) -> str:
        return (
            f"You may not {self.right.deed} {self.place} yet: your right to do so came from yourself, perhaps through "
            f"others, less than 24 hours ago. Somebody else has to do it."
        )


def require_settled(by: User, right: Right, where: Environment, *, now: datetime) -> None:
    """A right that one person uses alone does not come from their own hand. Raises OwnMaking."""
    if not _settled_on(where, right, in_hand(by, now=now)).filter(user=by).exists():
        raise OwnMaking(by, right, instance=where.instance_id, environment=where.pk, place=where.place)


def _settled_on(where: Environment, right: Right, hand: InHand) -> models.QuerySet[Grant]:
    """The roles with a right there that are old enough, or do not come from those people in any way."""
    roles = [role for role in Role if right in RIGHTS[role]]
    grants = Grant.objects.filter(role__in=roles, instance_id=where.instance_id)
    grants = grants.filter(models.Q(environment_id=None) | models.Q(environment_id=where.pk))
    fresh = models.Q(given_by__in=hand.people, given_at__gt=hand.since)
    return grants.exclude(fresh)


def approvers(environment: Environment, *, without: User) -> list[User]:
    """Who could approve a release that `without` begins here, whoever is asked."""
    people = who_may(Right.APPROVE, instance=environment.instance_id, environment=environment.pk)
    return others(people, than=without)


def ask_next(deployment: Deployment, *, now: datetime) -> datetime | None:
    """Ask the next group of the pipeline's `ask`; returns when the one after it is due, None when there is no other.

    A group in which nobody may answer is passed over; when nobody in any group may, everybody who may is asked.
    """
    gate = deployment.readable_spec().settings("approval")
    index, people = _turn(deployment, gate.ask, now=now)
    Asked.objects.bulk_create(
        Asked(deployment=deployment, user=user, round=deployment.round, group=index, at=now) for user in people
    )
    again: datetime = now + gate.escalate_after
    return again


def asked_next(deployment: Deployment, *, now: datetime) -> list[User]:
    """Who is asked when those who were asked do not answer: the next group, after the last the first again."""
    return _turn(deployment, deployment.readable_spec().settings("approval").ask, now=now)[1]


def _turn(deployment: Deployment, ask: Iterable[Iterable[str]], *, now: datetime) -> tuple[int, list[User]]:
    """The group whose turn it is after the last one, with its number."""
    able = able_to_answer(deployment.environment, owners=whose(deployment), now=now)
    filled = [(number, people) for number, people in enumerate(groups(deployment.environment, ask, able)) if people]
    filled = filled or [(0, able)]
    last = deployment.requests.filter(round=deployment.round).last()
    later = [one for one in filled if last is not None and one[0] > last.group]
    return later[0] if later else filled[0]


def groups(environment: Environment, ask: Iterable[Iterable[str]], able: Iterable[User]) -> list[list[User]]:
    """The people of each group of `ask`, each once, of those who are `able` to answer."""
    known = {user.pk: user for user in able}
    named = [{user.pk for entry in group for user in people(environment, entry)} for group in ask]
    return [[user for pk, user in known.items() if pk in group] for group in named]


def able_to_answer(environment: Environment, *, owners: Sequence[User], now: datetime) -> list[User]:
    """Who may answer for a release of these people (its initiator first), by name.

    The rules of `require_answer`, in a few queries for all of them.
    """
    found = list(who_may(Right.APPROVE, instance=environment.instance_id, environment=environment.pk))
    for owner in owners:
        found = others(found, than=owner)
    hand = in_hand(owners[0], now=now)
    settled = _settled_on(environment, Right.APPROVE, hand).filter(user__in=found).values_list("user_id", flat=True)
    return [one for one in found if one.pk in set(settled) - hand.opened]


def asked(deployment: Deployment) -> list[User]:
    """Everybody asked in this round, each once, in the order of asking."""
    rows = deployment.requests.filter(round=deployment.round).select_related("user")
    return list({row.user_id: row.user for row in rows}.values())


def asked_now(deployment: Deployment) -> list[User]:
    """Those who were asked last: the group whose turn it is."""
    rows = list(deployment.requests.filter(round=deployment.round).select_related("user"))
    return [row.user for row in rows if row.at == rows[-1].at]
