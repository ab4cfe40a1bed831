"""Everything that can be done before the outage. The live site is looked at, and not touched."""

from __future__ import annotations

from typing import Any

from deploynaut.engine.packages import Is, Survey, survey
from deploynaut.engine.pipeline import Mark
from deploynaut.engine.steps import screen
from deploynaut.engine.steps.base import OnInterrupt, StepContext, StepFailed, StepResult, TargetHost
from deploynaut.engine.steps.failures import in_words
from deploynaut.engine.steps.hosts import on_all
from deploynaut.engine.steps.known_good import prove_way_back
from deploynaut.engine.steps.laying_out import lay_out_everywhere, package_of
from deploynaut.engine.steps.set_up import SCREEN_ALONE
from deploynaut.engine.steps.smoke_tests import measure


class Prepare:
    """See `run`."""

    kind = "prepare"
    label = "Prepare"
    on_interrupt: OnInterrupt = "rerun"

    def run(self, context: StepContext) -> StepResult:
        """Preflight, package, release laid out and verified on every host, way back proven, site measured.

        Facts: `digest`, `tree`, `live` (release number by host, None where there is none), `laid_out` (how, by host),
        `baseline` (findings), `screen_was_up`, `migration` (the recipe has one).
        """
        with in_words("Preparing failed"):
            seen = _preflight(context)
            up = _screen_was_up(context)
            package = package_of(context)
            context.mark(Mark.LAID_OUT)
            laid_out = lay_out_everywhere(context, package, seen)
            prove_way_back(context)
            facts: dict[str, Any] = {
                "digest": package.digest,
                "tree": package.tree,
                "live": {name: int(found.live) if found.live else None for name, found in seen.items()},
                "laid_out": laid_out,
                "baseline": [finding.as_json() for finding in measure(context)],
                "screen_was_up": up,
                "migration": bool(context.recipe.migrate),
            }
        hosts = "1 host" if len(laid_out) == 1 else f"{len(laid_out)} hosts"
        return StepResult(f"package {package.digest[:12]} laid out and verified on {hosts}", facts)


def _preflight(context: StepContext) -> dict[str, Survey]:
    if context.spec.settings("backup").assets:
        raise StepFailed("This version cannot save assets yet. Take `assets: true` out of the backup step.")
    return on_all(context.targets, lambda host: _looked_at(context, host), what="The site was not touched")


def _looked_at(context: StepContext, host: TargetHost) -> Survey:
    seen = survey(host.connection, clear=str(context.number))
    objection = objection_to(context, seen)
    if objection and not context.in_maintenance:
        raise StepFailed(objection)
    free = f"{seen.free_bytes // 1024**2} MB free"
    context.log(f"{host.name}: release {seen.live or 'none'} is live, {free}" + (f". {objection}" if objection else ""))
    return seen


def objection_to(context: StepContext, seen: Survey) -> str:
    """What is wrong with `current`, in words: somebody has changed it by hand, or it was never a link."""
    if seen.current is Is.SOMETHING_ELSE:
        return "`current` is a directory or file, not a link. It is never replaced; set this target up first."
    known_good = context.back_to.number if context.back_to else SCREEN_ALONE
    believed = known_good if context.live is None else context.live
    # A host that was set up since shows the screen alone; it gets the release like the others.
    if seen.current is Is.NOTHING or seen.live in (str(believed), str(SCREEN_ALONE)):
        return ""
    return (
        f"`current` leads to {seen.leads_to or 'nothing'}, but release {believed} should be live. Somebody changed it "
        f"by hand. Make it lead to releases/{believed} again, or have Ops say which release is live."
    )


def _screen_was_up(context: StepContext) -> bool:
    up = screen.up_on(context, context.web)
    if up and not context.screen_was_up:
        context.log(f"the maintenance screen is up on {', '.join(sorted(up))}; only a success takes it down")
    return context.screen_was_up or bool(up)
