"""What `decide` answers: the new state, who is told, and the line for the log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deploynaut.engine.pipeline.state import State


class To(StrEnum):
    """Addressees of a notice, by their part in the deployment."""

    INITIATOR = "initiator"
    APPROVERS = "approvers"
    APPROVER = "approver"
    ACTOR = "actor"
    OPS = "ops"
    MANAGERS = "managers"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something people are to be told; `event` names the text."""

    event: str
    to: tuple[To, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows: the new state, who is to be told what, and the line for the pipeline log."""

    state: State
    notices: tuple[Notice, ...] = ()
    line: str = ""


class NotAllowed(Exception):
    """The event does not fit the state; the text says why, for the person who asked."""
