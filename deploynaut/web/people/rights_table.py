"""The table of rights as a page shows it: read from `accounts.roles`, where it stands once."""

from __future__ import annotations

from dataclasses import dataclass

from deploynaut.accounts.roles import INSTANCE_WIDE, RIGHTS, SYSTEM_RIGHTS, Right, Role

_MERGED = {Right.ABORT: Right.ABORT_OWN, Right.ROLL_BACK: Right.ROLL_BACK_OWN}
"""Shown in one row: who may do it to any deployment, and who to one that they began."""
_ANYWHERE = frozenset(
    {
        Right.BEGIN_PRODUCTION,
        Right.ABORT,
        Right.ROLL_BACK,
        Right.EDIT_ENVIRONMENT,
        Right.OVERRIDE_FREEZE,
        Right.LIFT_LOCK,
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One deed; `cells` says for each role: "yes", "own" (the initiator alone) or nothing."""

    deed: str
    cells: tuple[tuple[Role, str], ...]


def rows() -> list[Row]:
    """The whole table, in its order."""
    shown = [right for right in Right if right not in _MERGED.values()]
    return [Row(_deed(right), tuple((role, _cell(right, role)) for role in Role)) for right in shown]


def _deed(right: Right) -> str:
    words = f"{right.deed} {_place(right)}".strip()
    return words[0].upper() + words[1:]


def _place(right: Right) -> str:
    if right in SYSTEM_RIGHTS:
        return ""
    if right.name.endswith("_TEST"):
        return "a test or UAT environment"
    if right in INSTANCE_WIDE or right is Right.EDIT_MEMBERS:
        return "the instance"
    return "an environment" if right in _ANYWHERE else "production"


def _cell(right: Right, role: Role) -> str:
    if right in RIGHTS[role]:
        return "own" if right.name.endswith("_OWN") else "yes"
    return "own" if _MERGED.get(right) in RIGHTS[role] else ""
