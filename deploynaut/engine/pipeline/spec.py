"""The pipeline file of an environment: YAML in the form of the decisions, checked whole, errors with file:line:column.

Times carry a unit (`90s`, `10m`, `2h`, `7d`); unknown keys are errors; everything else has a default. On production the
steps that protect a site are always there, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from deploynaut.engine.pipeline.reading import SpecError, load, place, plain, words

FORWARD = ("backup", "release", "smoke_tests")
PRODUCTION = ("approval", "confirm", "prepare", "backup", "release", "smoke_tests", "rollback_window")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(value: object) -> timedelta:
    """`90s`, `10m`, `2h` or `7d` as a time span. Raises ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
    if not found or int(found[1]) == 0:
        raise ValueError(f"{value!r} is not a time; write a number with a unit, such as 90s, 10m, 2h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


Duration = Annotated[timedelta, BeforeValidator(duration)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Approval(_Part):
    """The approval gate: groups asked one after the other, and how long they have."""

    ask: tuple[tuple[str, ...], ...] = (("deployment-managers",), ("instance-managers",))
    escalate_after: Duration = timedelta(hours=2)
    expires_after: Duration = timedelta(days=7)


class Confirm(_Part):
    """The initiator's final Deploy."""

    expires_after: Duration = timedelta(days=1)


class RollbackWindow(_Part):
    """The time in which one click undoes everything."""

    lasts: Duration = timedelta(hours=1)


class Prepare(_Part):
    """Everything that can be done before the outage."""

    timeout: Duration = timedelta(minutes=30)


class Backup(_Part):
    """Maintenance screen up, data saved."""

    assets: bool = False
    timeout: Duration = timedelta(hours=1)


class Release(_Part):
    """Migrate, switch, verify, screen down."""

    timeout: Duration = timedelta(hours=1)


class SmokeTests(_Part):
    """How often each test is tried."""

    attempts: int = Field(default=3, ge=1, le=20)
    delay: Duration = timedelta(seconds=10)
    timeout: Duration = timedelta(minutes=30)


KINDS: dict[str, type[_Part]] = {
    "approval": Approval,
    "confirm": Confirm,
    "prepare": Prepare,
    "backup": Backup,
    "release": Release,
    "smoke_tests": SmokeTests,
    "rollback_window": RollbackWindow,
}


def _web_address(value: object) -> str:
    if not re.fullmatch(r"https?://[^\s]{1,2000}", str(value)):
        raise ValueError(f"{str(value)[:80]!r} is not a web address; write http://… or https://…")
    return str(value)


class TestSpec(_Part):
    """One smoke test: a URL and the answer that is expected of it."""

    __test__ = False

    url: Annotated[str, BeforeValidator(_web_address)]
    status: int = Field(default=200, ge=100, le=599)
    contains: str = ""
    lacks: str = ""
    within: Duration = timedelta(seconds=20)
    redirect: str = ""
    may_be_broken: bool = False
    verify_tls: bool = True


class OnFailure(_Part):
    """What the way back leaves out; on test and UAT alone."""

    database: str = Field(default="restore", pattern="^(restore|keep)$")


class _File(_Part):
    description: str = ""
    promote_from: str = ""
    steps: tuple[dict[str, Any] | str, ...] = ()
    smoke_tests: dict[str, TestSpec] = Field(default_factory=dict)
    keep_releases: int = Field(default=5, ge=2, le=50)
    notify: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    on_failure: OnFailure = OnFailure()


class PipelineSpec(_Part):
    """A pipeline that can be run: every step with its settings, in order."""

    description: str
    promote_from: str
    steps: tuple[tuple[str, Any], ...]
    smoke_tests: Mapping[str, TestSpec]
    keep_releases: int
    notify: Mapping[str, tuple[str, ...]]
    on_failure: OnFailure

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the steps, in order."""
        return tuple(kind for kind, _ in self.steps)

    def settings(self, kind: str) -> Any:
        """The settings of a step; the defaults when the pipeline has no such step (`roll_back` uses `release`'s)."""
        return dict(self.steps).get(kind) or KINDS[kind]()


def parse(text: str, *, production: bool, name: str = "pipeline.yml") -> PipelineSpec:
    """The pipeline written in `text`.

    Raises SpecError with every problem found, each with its place in the file.
    """
    data = load(text, name)
    try:
        file = _File.model_validate(plain(data))
    except ValidationError as error:
        raise SpecError([f"{place(data, e['loc'], name)}: {words(e)}" for e in error.errors()]) from None
    return _complete(file, _steps(file, data, name), data, production=production, name=name)


def _steps(file: _File, data: Any, name: str) -> dict[str, Any]:
    """The steps named by the file, by kind; each at most once."""
    found: dict[str, Any] = {}
    problems: list[str] = []
    for index, item in enumerate(file.steps):
        where = place(data, ("steps", index), name)
        try:
            kind, settings = _step(item)
            if kind in found:
                raise ValueError(f"{kind} is there twice")
            found[kind] = KINDS[kind].model_validate(settings or {})
        except ValidationError as error:
            inner = ("steps", index, _kind(item))
            problems += [f"{place(data, (*inner, *e['loc']), name)}: {words(e)}" for e in error.errors()]
        except ValueError as error:
            problems.append(f"{where}: {error}")
    if problems:
        raise SpecError(problems)
    return found


def _kind(item: Any) -> str:
    return item if isinstance(item, str) else str(next(iter(item), ""))


def _step(item: Any) -> tuple[str, Any]:
    kind, settings = (item, {}) if isinstance(item, str) else (_kind(item), next(iter(item.values()), None))
    if isinstance(item, dict) and len(item) != 1:
        raise ValueError("a step is one name with its settings, such as `- backup: {assets: true}`")
    if kind not in KINDS:
        raise ValueError(f"there is no step {kind!r}; known are {', '.join(KINDS)}")
    if settings is not None and not isinstance(settings, dict):
        raise ValueError(f"{kind} cannot be switched off or given one word; its settings are a list of keys")
    return kind, settings


def _complete(file: _File, named: dict[str, Any], data: Any, *, production: bool, name: str) -> PipelineSpec:
    order = PRODUCTION if production else ("prepare", *FORWARD)
    problems = [*_order_problems(named, order, data, name), *_rule_problems(file, named, data, production, name)]
    if problems:
        raise SpecError(problems)
    return PipelineSpec(
        description=file.description,
        promote_from=file.promote_from or ("uat" if production else ""),
        steps=tuple((kind, named.get(kind) or KINDS[kind]()) for kind in order),
        smoke_tests=file.smoke_tests,
        keep_releases=file.keep_releases,
        notify=file.notify,
        on_failure=file.on_failure,
    )


def _order_problems(named: dict[str, Any], order: tuple[str, ...], data: Any, name: str) -> list[str]:
    where = place(data, ("steps",), name)
    foreign = [f"{where}: {kind} is a step of production environments" for kind in named if kind not in order]
    wanted = [kind for kind in order if kind in named]
    if foreign or list(named) == wanted:
        return foreign
    return [f"{where}: the steps have a fixed order here: {', '.join(wanted)}"]


def _rule_problems(file: _File, named: dict[str, Any], data: Any, production: bool, name: str) -> list[str]:
    problems = []
    approval = named.get("approval")
    if approval is not None and not _asks_somebody(approval.ask):
        problems.append(f"{place(data, ('steps',), name)}: approval: `ask` names nobody in one of its groups")
    if production and file.on_failure.database == "keep":
        where = place(data, ("on_failure", "database"), name)
        problems.append(f"{where}: on production the database goes back with the code")
    if not production and file.promote_from:
        problems.append(f"{place(data, ('promote_from',), name)}: only production environments promote")
    return problems


def _asks_somebody(groups: tuple[tuple[str, ...], ...]) -> bool:
    return bool(groups) and all(group and all(name.strip() for name in group) for group in groups)
