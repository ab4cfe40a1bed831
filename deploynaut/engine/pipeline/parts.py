"""The parts of a pipeline file: what each holds, and what it is when left out. Editors get their schema of these."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from deploynaut.engine.pipeline.values import (
    Addressee,
    Asked,
    Duration,
    EnvironmentName,
    OneLine,
    TestName,
    WebAddress,
    Words,
)

FORWARD = ("backup", "release", "smoke_tests")
PRODUCTION = ("approval", "confirm", "prepare", "backup", "release", "smoke_tests", "rollback_window")
# Each of them is looked up when a file is saved, and told when it is time.
MOST_GROUPS, MOST_IN_A_GROUP, MOST_TOLD = 10, 20, 20


class Part(BaseModel):
    """A part of the file: nothing unknown, nothing guessed (`"5"` is no number, `1` is no `true`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Told(StrEnum):
    """What people are told of a deployment: the keys of `notify` and `messages`."""

    APPROVAL_ASKED = "approval_asked"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"
    ATTENDANCE_TAKEN = "attendance_taken"
    WINDOW_OPEN = "window_open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SITE_FAILS_UNTOUCHED = "site_fails_untouched"
    ABORTED = "aborted"
    ROLLBACK_BEGUN = "rollback_begun"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    WITHDRAWN = "withdrawn"
    BREAK_GLASS = "break_glass"
    HOST_DIFFERS = "host_differs"


def _told(value: object) -> Told:
    try:
        return Told(str(value))
    except ValueError:
        raise ValueError(f"there is no message {str(value)[:60]!r}; known are {', '.join(Told)}") from None


class Approval(Part):
    """The approval gate: groups asked one after the other, and how long they have."""

    ask: tuple[Annotated[tuple[Asked, ...], Field(max_length=MOST_IN_A_GROUP)], ...] = Field(
        default=(("deployment-managers",), ("instance-managers",)),
        max_length=MOST_GROUPS,
        description="Groups that are asked, one after the other: roles, or addresses of users.",
    )
    escalate_after: Duration = Field(default=timedelta(hours=2), description="Then the next group is asked.")
    expires_after: Duration = Field(default=timedelta(days=7), description="Then the deployment ends: expired.")


class Confirm(Part):
    """The initiator's final Deploy."""

    expires_after: Duration = Field(default=timedelta(days=1), description="Then the deployment ends: expired.")


class RollbackWindow(Part):
    """The time in which one click undoes everything."""

    lasts: Duration = Field(default=timedelta(hours=1), description="How long Rollback is offered.")


class Prepare(Part):
    """Everything that can be done before the outage."""

    timeout: Duration = Field(default=timedelta(minutes=30), description="The work is ended after this time.")


class Backup(Part):
    """Maintenance screen up, data saved."""

    assets: bool = Field(default=False, description="Save uploaded files too.")
    timeout: Duration = Field(default=timedelta(hours=1), description="The work is ended after this time.")


class Release(Part):
    """Migrate, switch, verify, screen down."""

    timeout: Duration = Field(default=timedelta(hours=1), description="The work is ended after this time.")


class SmokeTests(Part):
    """How often each test is tried."""

    attempts: int = Field(default=3, ge=1, le=20, description="Tries for each test.")
    delay: Duration = Field(default=timedelta(seconds=10), description="Between two tries.")
    timeout: Duration = Field(default=timedelta(minutes=30), description="For all tests.")


KINDS: dict[str, type[Part]] = {
    "approval": Approval,
    "confirm": Confirm,
    "prepare": Prepare,
    "backup": Backup,
    "release": Release,
    "smoke_tests": SmokeTests,
    "rollback_window": RollbackWindow,
}


class TestSpec(Part):
    """One smoke test: a URL and the answer that is expected of it."""

    __test__ = False

    url: WebAddress = Field(description="http://… or https://…")
    status: int = Field(default=200, ge=100, le=599, description="Exactly this one.")
    contains: str = Field(default="", max_length=2_000, description="Text that must be there.")
    lacks: str = Field(default="", max_length=2_000, description="Text that must not be there.")
    within: Duration = Field(default=timedelta(seconds=20), description="The whole answer, at most.")
    redirect: str = Field(default="", max_length=2_000, description="Where the answer must lead; never followed.")
    may_be_broken: bool = Field(default=False, description="Excused when it failed alike before the deployment.")
    verify_tls: bool = Field(default=True, description="Whether the site's certificate is checked.")


class OnFailure(Part):
    """What the way back leaves out; on test and UAT alone."""

    database: Literal["restore", "keep"] = Field(default="restore", description="What becomes of the database.")


class Text(Part):
    """Words of the file's own for one message; what is left out is said as always."""

    subject: OneLine = Field(default="", max_length=200, description="Subject of the e-mail, one line.")
    body: Words = Field(default="", max_length=20_000, description="The e-mail.")
    text: Words = Field(default="", max_length=480, description="The text message (SMS).")


class File(Part):
    """A pipeline file as it is written."""

    description: str = Field(default="", max_length=2_000, description="Shown on the environment's page.")
    promote_from: EnvironmentName = Field(
        default="", description="Production alone: the UAT environment whose successful releases may be chosen."
    )
    steps: tuple[Any, ...] = Field(default=(), description="The steps with their settings, in order.")
    smoke_tests: dict[TestName, TestSpec] = Field(
        default_factory=dict, max_length=100, description="Pages that the working site is asked for, by name."
    )
    keep_releases: int = Field(default=5, ge=2, le=50, description="How many releases stay on a target.")
    notify: dict[
        Annotated[Told, BeforeValidator(_told)], Annotated[tuple[Addressee, ...], Field(max_length=MOST_TOLD)]
    ] = Field(default_factory=dict, description="Further addressees of a message, by what it tells.")
    messages: dict[Annotated[Told, BeforeValidator(_told)], Text] = Field(
        default_factory=dict, description="Words of its own for a message, by what it tells."
    )
    on_failure: OnFailure = Field(default=OnFailure(), description="What the way back leaves out.")
