"""What a production release changes against the live one: made by the worker when it begins, kept with its own run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from deploynaut.engine.pipeline import Status
from deploynaut.runs import subjects
from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment

KIND, STEP = "comparison", "compare"
LIMIT = timedelta(minutes=5)
BIG = 1_000_000
"""Bytes from which a file deserves a look."""

_DEPENDENCIES = frozenset({
    "composer.json", "composer.lock", "package.json", "package-lock.json", "yarn.lock", "pnpm-lock.yaml",
    "requirements.txt", "uv.lock", "pyproject.toml", "poetry.lock", "pipfile", "pipfile.lock", "gemfile",
    "gemfile.lock", "go.mod", "go.sum", "cargo.toml", "cargo.lock",
})  # fmt: skip
_RULES = frozenset((".htaccess", "nginx.conf", ".user.ini", "web.config"))


@dataclass(frozen=True, slots=True)
class Change:
    """One commit, as people read it."""

    id: str
    subject: str
    body: str
    author: str
    at: datetime


@dataclass(frozen=True, slots=True)
class File:
    """One path. `how`: added, changed or removed. `size`: bytes in the new release, 0 when it is gone."""

    path: str
    how: str
    size: int

    @property
    def why_look(self) -> str:
        """Why somebody should look at it; empty for the rest."""
        name = self.path.rpartition("/")[2].lower()
        folders = self.path.lower().split("/")[:-1]
        if any("migration" in folder for folder in folders) or name.endswith(".sql"):
            return "migration"
        if name in _DEPENDENCIES:
            return "dependencies"
        if name in _RULES:
            return "rules of the web server"
        return "over 1 MB" if self.size >= BIG else ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`making`: the worker is at it. `problem`: why there is none. `before`: the live commit, empty for none.

    `included`, `left_out`: commits that this release brings, and that are live but not in it; the newest first, with
    how many there are in all.
    """

    making: bool = False
    problem: str = ""
    before: str = ""
    included: tuple[Change, ...] = ()
    included_count: int = 0
    left_out: tuple[Change, ...] = ()
    left_out_count: int = 0
    files: tuple[File, ...] = ()
    files_count: int = 0
    run: Run | None = None

    @property
    def made(self) -> bool:
        """It is there."""
        return not self.making and not self.problem

    @property
    def noteworthy(self) -> tuple[File, ...]:
        """Files that somebody should look at."""
        return tuple(file for file in self.files if file.why_look)


def begin(deployment: Deployment, *, now: datetime) -> Run:
    """Have the worker compare the deployment with what is live now."""
    return Run.objects.begin(
        kind=KIND,
        subject_id=deployment.pk,
        title=f"changes of {deployment}",
        lock_key=f"comparison:{deployment.pk}",
        steps=[STEP],
        now=now,
    )


def of(deployment: Deployment) -> Comparison:
    """The newest one of this deployment. Two queries."""
    run = Run.objects.newest(KIND, deployment.pk)
    if run is None:
        return Comparison(problem="It was begun before Deploynaut compared releases.")
    if not run.ended:
        return Comparison(making=True, run=run)
    if run.status != Status.SUCCEEDED:
        return Comparison(problem=run.cause or "The worker could not make it.", run=run)
    return _read(run, run.facts().get(STEP, {}))


def _read(run: Run, stored: Mapping[str, Any]) -> Comparison:
    return Comparison(
        before=stored.get("before", ""),
        included=tuple(map(_change, stored.get("included", ()))),
        included_count=stored.get("included_count", 0),
        left_out=tuple(map(_change, stored.get("left_out", ()))),
        left_out_count=stored.get("left_out_count", 0),
        files=tuple(File(**one) for one in stored.get("files", ())),
        files_count=stored.get("files_count", 0),
        run=run,
    )


def _change(stored: Mapping[str, str]) -> Change:
    return Change(**{**stored, "at": datetime.fromisoformat(stored["at"])})  # type: ignore[arg-type]


def register() -> None:
    """Hand the task to the runner."""
    subjects.register(KIND, subjects.Simple("deploynaut.deployments.comparing.compare", limit=LIMIT))
