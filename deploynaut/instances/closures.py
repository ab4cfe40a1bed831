"""When an environment may not be released to: freeze windows of its instance, and locks that a person has set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.core.exceptions import ValidationError
from django.db.models import F, Q

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.instances.freezes import Freeze, Scope
from deploynaut.instances.locks import EnvironmentLock
from deploynaut.instances.models import Environment
from deploynaut.instances.recurrence import BadRule, zone_of


class By(StrEnum):
    """What closes it."""

    FREEZE = "freeze"
    LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Closure:
    """Why not now, in words that name who, why and until when. `until`: None when nobody has set an end."""

    by: By
    words: str
    until: datetime | None = None


def why_closed(environment: Environment, *, now: datetime) -> Closure | None:
    """What keeps everybody from releasing there now; None when it is open. A lock counts before a freeze."""
    return of([environment], now=now).get(environment.pk)


def of(environments: Iterable[Environment], *, now: datetime) -> dict[int, Closure]:
    """The same for many, by the environment's id; those that are open are not there. Two queries in all."""
    wanted = list(environments)
    return {**_frozen(wanted, now), **_locked(wanted, now)}


def override(environment: Environment, closure: Closure, *, by: User, reason: str, now: datetime) -> None:
    """Let one release through a freeze, with a reason, written to the audit trail. A lock cannot be overridden.

    Raises NotAllowed, ValidationError (`reason`).
    """
    right, instance = Right.OVERRIDE_FREEZE, environment.instance_id
    require(by, right, instance=instance, environment=environment.pk, place=environment.place)
    if closure.by is By.LOCK:
        raise ValidationError(f"{closure.words} A lock cannot be overridden, it can be lifted.")
    words = reason_of(reason)
    subject = audit.Subject("environment", environment.pk, str(environment))
    what = {"closed": closure.words, "reason": words}
    audit.record("freeze overridden", actor=by, subject=subject, now=now, after=what)


def _locked(environments: list[Environment], now: datetime) -> dict[int, Closure]:
    """Of several locks the one that stays longest; those without an end first."""
    locks = EnvironmentLock.objects.in_force(now).filter(environment__in=environments)
    found: dict[int, Closure] = {}
    for lock in locks.order_by(F("expires_at").asc(nulls_last=True), "-pk"):
        ends = f"until {lock.expires_at:%-d %B %Y, %H:%M} UTC" if lock.expires_at else "until it is lifted"
        said = f"{lock.owner.name} locked it {ends}: {_sentence(lock.reason)}"
        found[lock.environment_id] = Closure(By.LOCK, said, lock.expires_at)
    return found


def _frozen(environments: list[Environment], now: datetime) -> dict[int, Closure]:
    """Of several freezes the one that ends last."""
    chosen = Q(scope=Scope.CHOSEN, environments__in=environments)
    where = Q(instance__in={one.instance_id for one in environments}) & (~Q(scope=Scope.CHOSEN) | chosen)
    freezes = Freeze.objects.filter(where, removed_at=None).annotate(chosen=F("environments")).select_related("by")
    found: dict[int, Closure] = {}
    for freeze in freezes:
        closure = _closure(freeze, now)
        if closure is None:
            continue
        for environment in environments:
            if _meant(freeze, environment) and _later(closure, found.get(environment.pk)):
                found[environment.pk] = closure
    return found


def _meant(freeze: Freeze, environment: Environment) -> bool:
    if freeze.instance_id != environment.instance_id:
        return False
    if freeze.scope == Scope.CHOSEN:
        return bool(freeze.chosen == environment.pk)  # type: ignore[attr-defined]
    return freeze.scope == Scope.ALL or environment.production


def _later(new: Closure, old: Closure | None) -> bool:
    return old is None or (new.until is not None and old.until is not None and new.until > old.until)


def _closure(freeze: Freeze, now: datetime) -> Closure | None:
    try:
        window = freeze.window(now)
    except (BadRule, ValueError):
        # Time zones are renamed, rules get stricter: what cannot be read keeps the door shut, and says so.
        return Closure(By.FREEZE, f"The times of a freeze cannot be read any more: {_sentence(freeze.reason)}")
    if window is None:
        return None
    ends = window.ends.astimezone(zone_of(freeze.zone))
    said = f"Frozen until {ends:%A %-d %B %Y, %H:%M} ({freeze.zone}): {_sentence(freeze.reason)}"
    return Closure(By.FREEZE, f"{said} {freeze.by.name} set this freeze.", window.ends)


def _sentence(reason: str) -> str:
    said = " ".join(reason.split())
    return said if said.endswith((".", "!", "?")) else f"{said}."
