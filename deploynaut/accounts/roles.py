"""THE table: which role may do what. Pure values; `docs/reference/rights.md` shows it, a test compares."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What a person is to one instance; Administrator alone is system-wide."""

    VIEWER = "viewer"
    TECHNICAL_STAFF = "technical-staff"
    DEPLOYMENT_MANAGER = "deployment-manager"
    INSTANCE_MANAGER = "instance-manager"
    OPS = "ops"
    ADMINISTRATOR = "administrator"

    @property
    def label(self) -> str:
        """As people read it: "Technical Staff"."""
        return self.value.replace("-", " ").title()


class Right(StrEnum):
    """One thing that somebody may do. `*_OWN` is for the initiator of the deployment alone; ask it with `own=True`."""

    SEE = "see"
    FETCH = "fetch"
    RELEASE_TEST = "release-test"
    BEGIN_PRODUCTION = "begin-production"
    APPROVE = "approve"
    PRESS_DEPLOY_OWN = "press-deploy-own"
    TAKE_OVER_ATTENDANCE = "take-over-attendance"
    ABORT = "abort"
    ABORT_OWN = "abort-own"
    ROLL_BACK = "roll-back"
    ROLL_BACK_OWN = "roll-back-own"
    MAINTENANCE = "maintenance"
    MAINTENANCE_TEST = "maintenance-test"
    SNAPSHOT_TEST = "snapshot-test"
    SNAPSHOT_PRODUCTION = "snapshot-production"
    RESTORE_PRODUCTION = "restore-production"
    ALTER_PRODUCTION_SNAPSHOTS = "alter-production-snapshots"
    EDIT_ENVIRONMENT = "edit-environment"
    EDIT_MEMBERS = "edit-members"
    CREATE_INSTANCE = "create-instance"
    EDIT_USERS = "edit-users"
    SYSTEM_SETTINGS = "system-settings"
    BREAK_GLASS = "break-glass"
    CONFIRM_PROPOSAL = "confirm-proposal"
    OVERRIDE_FREEZE = "override-freeze"
    LIFT_LOCK = "lift-lock"

    @property
    def deed(self) -> str:
        """The words after "You may not"; a place follows them, except for the rights over the whole system."""
        return DEEDS[self]


_MAY_BEGIN = frozenset({Right.FETCH, Right.RELEASE_TEST, Right.BEGIN_PRODUCTION})
_OWN = frozenset({Right.PRESS_DEPLOY_OWN, Right.ABORT_OWN, Right.ROLL_BACK_OWN})
_TECHNICAL = _MAY_BEGIN | _OWN | {Right.SEE, Right.MAINTENANCE_TEST, Right.SNAPSHOT_TEST}
_ANYBODYS = frozenset({Right.ABORT, Right.ABORT_OWN, Right.ROLL_BACK, Right.ROLL_BACK_OWN})
_MAINTENANCE = frozenset({Right.MAINTENANCE, Right.MAINTENANCE_TEST})
_DEPLOYMENT = (
    _TECHNICAL
    | _ANYBODYS
    | _MAINTENANCE
    | {Right.APPROVE, Right.TAKE_OVER_ATTENDANCE, Right.SNAPSHOT_PRODUCTION, Right.RESTORE_PRODUCTION}
    | {Right.CONFIRM_PROPOSAL, Right.OVERRIDE_FREEZE}
)
_EDIT = frozenset({Right.EDIT_ENVIRONMENT, Right.EDIT_MEMBERS})

SYSTEM_RIGHTS = frozenset({Right.CREATE_INSTANCE, Right.EDIT_USERS, Right.SYSTEM_SETTINGS})
"""Asked without an instance."""

INSTANCE_WIDE = frozenset({Right.SEE, Right.FETCH})
"""Held for the instance as a whole already by a grant that is narrowed to one of its environments."""

OWN: Mapping[Right, Right] = MappingProxyType(
    {
        Right.ABORT: Right.ABORT_OWN,
        Right.ROLL_BACK: Right.ROLL_BACK_OWN,
        Right.TAKE_OVER_ATTENDANCE: Right.PRESS_DEPLOY_OWN,
    }
)
"""What an initiator needs instead, when the deployment is one's own."""

RIGHTS: Mapping[Role, frozenset[Right]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Right.SEE}),
        Role.TECHNICAL_STAFF: _TECHNICAL,
        Role.DEPLOYMENT_MANAGER: _DEPLOYMENT,
        Role.INSTANCE_MANAGER: _DEPLOYMENT
        | _EDIT
        | {Right.ALTER_PRODUCTION_SNAPSHOTS, Right.BREAK_GLASS, Right.LIFT_LOCK},
        Role.OPS: _ANYBODYS | _MAINTENANCE | {Right.SEE, Right.BREAK_GLASS, Right.LIFT_LOCK},
        Role.ADMINISTRATOR: _EDIT | SYSTEM_RIGHTS | {Right.SEE, Right.FETCH, Right.CONFIRM_PROPOSAL},
    }
)

DEEDS: Mapping[Right, str] = MappingProxyType(
    {
        Right.SEE: "see",
        Right.FETCH: "fetch the latest changes of",
        Right.RELEASE_TEST: "release to",
        Right.BEGIN_PRODUCTION: "begin a production release on",
        Right.APPROVE: "approve or reject a release to",
        Right.PRESS_DEPLOY_OWN: "press Deploy for",
        Right.TAKE_OVER_ATTENDANCE: "take over attendance of a release to",
        Right.ABORT: "abort a deployment on",
        Right.ABORT_OWN: "abort a deployment on",
        Right.ROLL_BACK: "roll back or dismiss on",
        Right.ROLL_BACK_OWN: "roll back or dismiss on",
        Right.MAINTENANCE: "change the maintenance screen of",
        Right.MAINTENANCE_TEST: "change the maintenance screen of",
        Right.SNAPSHOT_TEST: "work with snapshots of",
        Right.SNAPSHOT_PRODUCTION: "create, download or move snapshots of",
        Right.RESTORE_PRODUCTION: "restore data into",
        Right.ALTER_PRODUCTION_SNAPSHOTS: "upload or delete snapshots of",
        Right.EDIT_ENVIRONMENT: "edit environments, targets, pipelines or keys of",
        Right.EDIT_MEMBERS: "edit members and roles of",
        Right.CREATE_INSTANCE: "create instances",
        Right.EDIT_USERS: "create or change users",
        Right.SYSTEM_SETTINGS: "change the system's settings",
        Right.BREAK_GLASS: "break glass on",
        Right.CONFIRM_PROPOSAL: "confirm or refuse a proposal for",
        Right.OVERRIDE_FREEZE: "release during a freeze to",
        Right.LIFT_LOCK: "lift somebody else's lock on",
    }
)


def roles_with(right: Right) -> tuple[Role, ...]:
    """The roles that hold a right, in the table's order."""
    return tuple(role for role in Role if right in RIGHTS[role])
