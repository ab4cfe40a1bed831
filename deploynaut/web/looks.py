"""How states look: a shape, a word and a tone, the same everywhere. Tones are classes in app.css."""

from __future__ import annotations

from dataclasses import dataclass

from deploynaut.engine.pipeline import Status, StepStatus


@dataclass(frozen=True, slots=True)
class Look:
    """`icon`: name in `icons`; `tone`: good, busy, wait, bad, calm."""

    word: str
    icon: str
    tone: str


_STATUS: dict[Status, Look] = {
    Status.QUEUED: Look("Queued", "clock", "wait"),
    Status.RUNNING: Look("Running", "play", "busy"),
    Status.WAITING: Look("Waiting", "pause", "wait"),
    Status.ROLLING_BACK: Look("Rolling back", "undo", "busy"),
    Status.SUCCEEDED: Look("Succeeded", "check", "good"),
    Status.REJECTED: Look("Rejected", "stop", "calm"),
    Status.ABORTED: Look("Aborted", "stop", "calm"),
    Status.EXPIRED: Look("Expired", "clock", "calm"),
    Status.FAILED: Look("Failed", "cross", "warn"),
    Status.ROLLED_BACK: Look("Rolled back", "undo", "warn"),
    Status.ROLLBACK_FAILED: Look("Rollback failed", "alert", "bad"),
}

_STEP: dict[StepStatus, Look] = {
    StepStatus.PENDING: Look("To come", "dot", "calm"),
    StepStatus.RUNNING: Look("Running", "play", "busy"),
    StepStatus.WAITING: Look("Waiting", "pause", "wait"),
    StepStatus.SUCCEEDED: Look("Done", "check", "good"),
    StepStatus.FAILED: Look("Failed", "cross", "warn"),
    StepStatus.STOPPED: Look("Stopped", "stop", "calm"),
    StepStatus.SKIPPED: Look("Not run", "skip", "calm"),
}

NOTHING = Look("Nothing released", "dot", "calm")
LIVE = Look("Live", "check", "good")
MAINTENANCE = Look("In maintenance", "alert", "bad")

LABELS = {
    "approval": "Approval",
    "confirm": "Deploy",
    "prepare": "Prepare",
    "backup": "Backup",
    "release": "Release",
    "smoke_tests": "Smoke tests",
    "rollback_window": "Window",
    "roll_back": "Roll back",
    "fetch": "Fetch",
    "compare": "Compare",
    "make_key": "Make key",
    "scan": "Look up host key",
    "set_up": "Set up",
    "check": "Check connection",
}
PURPOSES = {
    "prepare": "Export, build and lay the release out beside the live one. No outage.",
    "backup": "Maintenance screen up, database saved and read back.",
    "release": "Migrate, switch, check each host, screen down.",
    "smoke_tests": "Ask the working site for its pages, from outside.",
    "approval": "A Deployment Manager answers.",
    "confirm": "The initiator presses Deploy.",
    "rollback_window": "One click undoes everything.",
}


def of_status(status: str) -> Look:
    """The look of a run's status."""
    return _STATUS[Status(status)]


def of_step(status: str) -> Look:
    """The look of a tile's status."""
    return _STEP[StepStatus(status)]


def label(kind: str, *, back: bool = False) -> str:
    """What people call a step."""
    word = LABELS.get(kind, kind.replace("_", " ").capitalize())
    return f"{word} again" if back and kind == "smoke_tests" else word
