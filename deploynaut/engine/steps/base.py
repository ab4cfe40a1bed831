"""What a step is given, and what it gives back.

One StepContext goes down into a step; per step its marks and one value come up, log lines on the way, and one question
is asked meanwhile: `guard()`. A step asks the books nothing else.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from deploynaut.engine.pipeline import Mark, PipelineSpec

if TYPE_CHECKING:
    from deploynaut.engine.connections.base import Connection
    from deploynaut.engine.databases.files import SnapshotFiles
    from deploynaut.engine.packages import PackageStore
    from deploynaut.engine.recipes import Recipe
    from deploynaut.engine.repository import Mirror

Facts = Mapping[str, Any]
"""JSON values that a step leaves for later steps and for the page."""


class StepFailed(Exception):
    """A failure that was foreseen; the text goes to the person: what happened, to what, what to do next."""


class Stopped(Exception):
    """The work was asked to end: raised by `guard()` and `mark()`, and passed on untouched by every step."""


class Aborted(Stopped):
    """Somebody pressed Abort Pipeline."""


class StepTimedOut(Stopped):
    """The step has used up its time."""


class ShuttingDown(Stopped):
    """The worker is being stopped; another one goes on with the run."""


class FencedOff(Stopped):
    """Another worker has taken the run over; this one must not act any more."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step gives back: a few words for its tile, and facts for later steps."""

    summary: str
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetHost:
    """One host of the environment. `address`: where this very host answers HTTP (empty: not known)."""

    name: str
    roles: frozenset[str]
    connection: Connection
    address: str = ""


@dataclass(frozen=True, slots=True)
class KnownGood:
    """The release to go back to: its number, commit and content digest."""

    number: int
    commit: str
    digest: str


@dataclass(frozen=True, slots=True)
class StepContext:
    """All a step needs.

    `run`: name for people and journals (`demo/uat #42`). `number`: of the release to lay out, `releases/<number>`.
    `facts`: of the steps behind, by kind (`facts["backup"]["snapshot"]`). `marks`: reached so far.
    `kept`: numbers of releases that cleanup must leave. `screen_was_up`: before this deployment began.
    `guard()`: raises when aborted, timed out, fenced off or shutting down; asked at least each second.
    `mark(m)`: committed before the act that it announces; raises when another worker has taken over.
    `digest`: what was laid out must have this content digest; empty when no release has fixed it yet.
    `hosts`: what smoke tests may ask beside the public web: names, addresses, networks.
    `live`: the release that should be live now, where that is not `back_to` (it was withdrawn, or Ops said so).
    `way_back`: this step is one of the way back. `back_to`: known good, or None (first deployment).
    `patience`: how long the way back retries a host that cannot be reached. `answer_within`: how long a host has to
    show its screen or to serve a release.
    """

    run: str
    number: int
    commit: str
    production: bool
    targets: tuple[TargetHost, ...]
    recipe: Recipe
    spec: PipelineSpec
    mirror: Mirror
    packages: PackageStore
    snapshots: SnapshotFiles
    facts: Mapping[str, Facts]
    marks: frozenset[Mark]
    back_to: KnownGood | None
    kept: frozenset[int]
    log: Callable[[str], None]
    guard: Callable[[], None]
    mark: Callable[[Mark], None]
    clock: Callable[[], datetime]
    digest: str = ""
    screen_was_up: bool = False
    code_only: bool = False
    aborted: bool = False
    live: int | None = None
    way_back: bool = False
    hosts: frozenset[str] = frozenset()
    patience: timedelta = timedelta(minutes=10)
    answer_within: timedelta = timedelta(seconds=60)
    sleep: Callable[[float], None] = time.sleep

    @property
    def label(self) -> str:
        """See `label_of`."""
        return label_of(self.run)

    @property
    def web(self) -> tuple[TargetHost, ...]:
        """The hosts that serve pages."""
        return tuple(target for target in self.targets if "web" in target.roles)

    @property
    def once(self) -> TargetHost:
        """The host for what is done once: the first `db` host, else the first host."""
        return next((target for target in self.targets if "db" in target.roles), self.targets[0])

    @property
    def in_maintenance(self) -> bool:
        """The screen was up before this deployment began, as the books know or as `prepare` found."""
        return self.screen_was_up or bool(self.facts.get("prepare", {}).get("screen_was_up"))


def label_of(run: str) -> str:
    """A run's name for files and refs, one of its own: `a/b-1 #1` and `a-b/1 #1` differ, and so do long names."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", run).strip("-")
    return f"{words[:90]}-{hashlib.sha256(run.encode()).hexdigest()[:8]}"


OnInterrupt = Literal["rerun", "by mark"]


class StepType(Protocol):
    """One kind of task. `on_interrupt`: what follows when the worker died in it."""

    kind: str
    label: str
    on_interrupt: OnInterrupt

    def run(self, context: StepContext) -> StepResult:
        """Do the work and verify it. Raises StepFailed with a sentence for people."""
        ...
