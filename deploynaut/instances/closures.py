"""When an environment may not be released to: freeze windows of its instance, and locks that a person has set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from deploynaut.accounts.models import User
from deploynaut.instances.models import Environment


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
    return None


def override(environment: Environment, closure: Closure, *, by: User, reason: str, now: datetime) -> None:
    """Let one release through a freeze, with a reason, written to the audit trail. A lock cannot be overridden.

    Raises NotAllowed, ValidationError (`reason`).
    """
