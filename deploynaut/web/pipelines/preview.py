"""What a pipeline will do, tile by tile, in words: who is asked and when, how long the window is, what was added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from deploynaut.accounts.models import User
from deploynaut.engine.pipeline import PipelineSpec
from deploynaut.engine.pipeline.spec import written
from deploynaut.instances import approvers
from deploynaut.instances.models import Environment
from deploynaut.web import looks

NAMED = 3
ROLES = {"deployment-managers": "Deployment Managers", "instance-managers": "Instance Managers"}
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


@dataclass(frozen=True, slots=True)
class Tile:
    """One step in words. `added`: the file does not name it. `warning`: what somebody should know."""

    label: str
    says: tuple[str, ...]
    added: bool
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """The tiles, and what else the file says."""

    tiles: tuple[Tile, ...]
    rest: tuple[str, ...]


def preview(environment: Environment, spec: PipelineSpec) -> Preview:
    """What this pipeline does on this environment, with the people as they are now."""
    tiles = tuple(
        Tile(
            label=looks.label(kind),
            says=tuple(_SAYS[kind](environment, spec)),
            added=kind not in spec.named,
            warning=_warning(environment, spec, kind),
        )
        for kind in spec.kinds
    )
    return Preview(tiles, tuple(_rest(spec)))


def spoken(span: timedelta) -> str:
    """`2 hours`, `90 seconds`, `1 day`."""
    text = written(span)
    number, unit = text[:-1], _UNITS[text[-1]]
    return f"{number} {unit}{'' if number == '1' else 's'}"


# --- one step each ---


def _approval(environment: Environment, spec: PipelineSpec) -> Iterator[str]:
    settings = spec.settings("approval")
    groups = [_group(environment, group) for group in settings.ask]
    yield f"First asks {groups[0]}."
    for group in groups[1:]:
        yield f"After {spoken(settings.escalate_after)} without an answer asks {group}."
    again = "the first again" if len(groups) > 1 else "once more"
    yield f"Then {again}, every {spoken(settings.escalate_after).removeprefix('1 ')}."
    yield f"Expires after {spoken(settings.expires_after)}."


def _group(environment: Environment, group: Sequence[str]) -> str:
    return " and ".join(_entry(environment, entry) for entry in group)


def _entry(environment: Environment, entry: str) -> str:
    people = approvers.people(environment, entry)
    if entry in ROLES:
        return f"the {ROLES[entry]} ({_names(people)})"
    return people[0].name if people else entry


def _names(people: Sequence[User]) -> str:
    if not people:
        return "nobody yet"
    more = len(people) - NAMED
    return ", ".join(person.name for person in people[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _confirm(environment: Environment, spec: PipelineSpec) -> Iterator[str]:
    yield f"The initiator presses Deploy within {spoken(spec.settings('confirm').expires_after)}, and attends."


def _prepare(environment: Environment, spec: PipelineSpec) -> Iterator[str]:
    yield "Built and laid out beside the live release. No outage."
    yield f"At most {spoken(spec.settings('prepare').timeout)}."


def _backup(environment: Environment, spec: PipelineSpec) -> Iterator[str]:
    settings = spec.settings("backup")
    what = "database and uploaded files" if settings.assets else "database"
    yield f"Maintenance screen up; saves the {what}."
    yield f"At most {spoken(settings.timeout)}."


def _release(environment: Environment, spec: PipelineSpec) -> Iterator[str]:
    yield "Migrates, switches, looks at each host; screen down."
    yield f"At most {spoken(spec.settings('release').timeout)}."


def _smoke_tests(environment: Environment, spec: PipelineSpec) -> Iterator[str]:
    settings, names = spec.settings("smoke_tests"), list(spec.smoke_tests)
    if not names:
        return
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    yield f"{len(names)} test{'s' if len(names) > 1 else ''}: {', '.join(names[:NAMED])}{more}."
    if settings.attempts > 1:
        yield f"Up to {settings.attempts} tries each, {spoken(settings.delay)} apart."


def _window(environment: Environment, spec: PipelineSpec) -> Iterator[str]:
    yield f"For {spoken(spec.settings('rollback_window').lasts)} one click undoes everything."


_SAYS = {
    "approval": _approval,
    "confirm": _confirm,
    "prepare": _prepare,
    "backup": _backup,
    "release": _release,
    "smoke_tests": _smoke_tests,
    "rollback_window": _window,
}


def _warning(environment: Environment, spec: PipelineSpec, kind: str) -> str:
    if kind == "smoke_tests" and not spec.smoke_tests:
        return "No page is looked at: the file names no smoke test."
    if kind != "approval":
        return ""
    entries = [entry for group in spec.settings("approval").ask for entry in group]
    people = {one.pk: one.name for entry in entries for one in approvers.people(environment, entry)}
    if not people:
        return "Nobody who is asked may approve yet. Give somebody the role first."
    if len(people) == 1:
        (name,) = people.values()
        return f"Only {name} could approve, and nobody approves a release of one's own."
    return ""


def _rest(spec: PipelineSpec) -> Iterator[str]:
    if spec.promote_from:
        yield f"Only what succeeded on {spec.promote_from}, and was not withdrawn, can be chosen."
    if spec.on_failure.database == "keep":
        yield "When something fails the database stays as it is; only the code goes back."
    yield f"{spec.keep_releases} releases stay on each target."
    for event, people in spec.notify.items():
        yield f"“{event.replace('_', ' ').capitalize()}” is also told to {', '.join(people)}."
    if spec.messages:
        yield f"Words of its own for: {', '.join(event.replace('_', ' ') for event in spec.messages)}."
