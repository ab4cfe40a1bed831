"""A dry run: everything of a deployment but the touching. What would touch a host is named in the log, in its order.

On the hosts it only reads, under the fence like all else; what it makes (package, mirror) is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from deploynaut.engine.connections.base import Fenced
from deploynaut.engine.packages import How, Package, Survey, removable, survey
from deploynaut.engine.packages.room import check_room
from deploynaut.engine.shell import command
from deploynaut.engine.steps import screen
from deploynaut.engine.steps.base import StepContext, StepFailed, StepResult, TargetHost
from deploynaut.engine.steps.failures import FORESEEN
from deploynaut.engine.steps.hosts import on_all
from deploynaut.engine.steps.known_good import look_at_way_back
from deploynaut.engine.steps.laying_out import package_of
from deploynaut.engine.steps.prepare import objection_to
from deploynaut.engine.steps.saving import database_of
from deploynaut.engine.steps.shared import links, missing
from deploynaut.engine.steps.smoke_tests import measure, tests_of

T = TypeVar("T")


def dry_run(context: StepContext) -> StepResult:
    """Look, build, measure; then name each act that is left out. Raises StepFailed with all that stands in the way.

    Facts: `digest`, `size`, `live` (by host), `baseline` (findings), `skipped` (the acts, in order).
    """
    rehearsal = Rehearsal(context)
    facts = rehearsal.play()
    if rehearsal.objections:
        raise StepFailed(f"A release would not get through: {' '.join(rehearsal.objections)}")
    count = len(facts["skipped"])
    return StepResult(f"a release would begin well; {count} acts that touch the hosts were left out", facts)


@dataclass
class Rehearsal:
    """One dry run. What stands in the way is collected: one objection must not hide the next."""

    context: StepContext
    objections: list[str] = field(default_factory=list)

    def play(self) -> dict[str, Any]:
        """Every part, one after the other."""
        context = self.context
        seen = self._part(lambda: on_all(context.targets, self._look, what="A host cannot be used")) or {}
        package = self._part(lambda: package_of(context))
        if package is not None:
            self._part(lambda: self._room(package, seen))
        self._part(lambda: look_at_way_back(context, seen))
        self._part(self._screen)
        skipped = [act for act in _acts(context, seen, package) if act]
        baseline = self._part(lambda: measure(context)) or []
        for act in skipped:
            context.log(f"skipped: {act}")
        return {
            "digest": package.digest if package else "",
            "size": package.size if package else 0,
            "live": {name: int(found.live) if found.live else None for name, found in seen.items()},
            "baseline": [finding.as_json() for finding in baseline],
            "skipped": skipped,
        }

    def _part(self, act: Callable[[], T]) -> T | None:
        """What it gave; None when something was in its way, which is noted."""
        try:
            return act()
        except Fenced:
            raise
        except (StepFailed, *FORESEEN) as error:
            self.objections.append(str(error))
            self.context.log(f"in the way: {error}")
        return None

    def _look(self, host: TargetHost) -> Survey:
        seen = survey(host.connection)
        self.context.log(
            f"{host.name}: release {seen.live or 'none'} is live, {seen.free_bytes // 1024**2} MB free for releases"
        )
        if objection := objection_to(self.context, seen):
            self.objections.append(f"{host.name}: {objection}")
            self.context.log(f"in the way: {host.name}: {objection}")
        return seen

    def _room(self, package: Package, seen: dict[str, Survey]) -> None:
        wanted = package.manifest.with_links(links(self.context.recipe))
        for name, found in seen.items():
            check_room(How.FULL, wanted, (), found, host=name)

    def _screen(self) -> None:
        if up := screen.up_on(self.context, self.context.web):
            self.context.log(f"the maintenance screen is up on {', '.join(sorted(up))}; only a success takes it down")


# --- what is left out ------------------------------------------------------------------------------------------------


def _acts(context: StepContext, seen: dict[str, Survey], package: Package | None) -> Iterator[str]:
    """In the order of the pipeline."""
    acts = {"prepare": _prepare, "backup": _backup, "release": _release, "smoke_tests": _smoke_tests}
    for kind in context.spec.kinds:
        if kind in acts:
            yield from acts[kind](context, seen, package)
        else:
            yield f"wait at {kind.replace('_', ' ')}"


def _prepare(context: StepContext, seen: dict[str, Survey], package: Package | None) -> Iterator[str]:
    size = f"{len(package.manifest.entries)} paths, {package.size} bytes" if package else "no package"
    for host in context.targets:
        for path in missing(context, host) if host.name in seen else ():
            yield f"{host.name}: fill shared/{path}, where nothing is yet"
        yield f"{host.name}: lay out release {context.number} ({size}) and verify every file"


def _backup(context: StepContext, seen: dict[str, Survey], package: Package | None) -> Iterator[str]:
    recipe = context.recipe
    for host in context.web:
        yield f"{host.name}: put up the maintenance screen ({recipe.maintenance.path}) and ask for it"
    for host in context.targets:
        yield f"{host.name}: pause background work: {command(*recipe.pause)}" if recipe.pause else ""
    if database_of(recipe) is not None and recipe.database is not None:
        yield f"{context.once.name}: save the database {recipe.database.path} and read it back"


def _release(context: StepContext, seen: dict[str, Survey], package: Package | None) -> Iterator[str]:
    recipe, number = context.recipe, context.number
    if recipe.migrate:
        yield f"{context.once.name}: migrate, in release {number}: {command(*recipe.migrate)}"
    for host in context.targets:
        live = seen[host.name].live if host.name in seen else None
        yield f"{host.name}: make current lead to release {number} (now: {live or 'none'})"
    for host in context.web:
        yield f"{host.name}: reload: {command(*recipe.reload)}" if recipe.reload else ""
    for host in context.web:
        yield f"{host.name}: wait until it serves release {number}"
    for host in context.web:
        yield f"{host.name}: take the maintenance screen down"
    for host in context.targets:
        yield f"{host.name}: resume background work: {command(*recipe.resume)}" if recipe.resume else ""


def _smoke_tests(context: StepContext, seen: dict[str, Survey], package: Package | None) -> Iterator[str]:
    names = ", ".join(test.name for test in tests_of(context))
    yield f"test the new release: {names or 'no smoke tests are set up'}"
    known_good = str(context.back_to.number) if context.back_to else None
    for host in context.targets:
        if host.name in seen:
            found = seen[host.name]
            pinned, keep = {str(number) for number in context.kept}, context.spec.keep_releases - 1
            old = removable(found.releases, live=found.live, known_good=known_good, pinned=pinned, keep=keep)
            yield f"{host.name}: remove old releases: {', '.join(old)}" if old else ""
