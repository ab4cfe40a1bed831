"""The release to go back to: proven file by file before anything is changed, laid out again where it is not whole."""

from __future__ import annotations

from collections.abc import Mapping

from deploynaut.engine.packages import (
    Package,
    ReleaseAltered,
    ReleaseError,
    ReleaseInUse,
    ReleaseMissing,
    Survey,
    lay_out,
    survey,
    verify,
)
from deploynaut.engine.steps.base import KnownGood, StepContext, StepFailed, TargetHost
from deploynaut.engine.steps.hosts import on_all
from deploynaut.engine.steps.laying_out import build_of
from deploynaut.engine.steps.shared import links, links_there


def prove_way_back(context: StepContext) -> None:
    """Every file of the known good release on every host. Raises StepFailed naming each host without a way back."""
    back = context.back_to
    if back is None:
        context.log("nothing is known good here yet: a failure goes back to the screen alone")
        return
    what = f"Release {back.number}, the way back, is not whole"
    on_all(context.targets, lambda host: prove(context, host, back), what=what)


def look_at_way_back(context: StepContext, seen: Mapping[str, Survey]) -> None:
    """The same without mending anything. Raises StepFailed naming each host where it could not be mended."""
    back = context.back_to
    if back is None:
        context.log("nothing is known good here yet: a failure goes back to the screen alone")
        return
    hosts = [host for host in context.targets if host.name in seen]
    what = f"Release {back.number}, the way back, is not whole"
    on_all(hosts, lambda host: _look(context, host, back, live=seen[host.name].live), what=what)


def lay_out_again(context: StepContext, host: TargetHost, back: KnownGood, *, only_if_missing: bool = False) -> None:
    """From the pinned package, or built again from its commit when the store has lost it; the digest must be the same.

    Raises StepFailed when that cannot be; ReleaseInUse when the release is live there and altered.
    """
    if only_if_missing and str(back.number) in {one.name for one in survey(host.connection).releases if one.ours}:
        return
    package = _package(context, back)
    done = lay_out(
        host.connection,
        package=package,
        release=str(back.number),
        previous=None,
        links=links(context.recipe),
        log=context.log,
    )
    context.log(f"{host.name}: {done}")


def _look(context: StepContext, host: TargetHost, back: KnownGood, *, live: str | None) -> None:
    release = str(back.number)
    try:
        found = links_there(host, back.number)
        verify(host.connection, release=release, package=_package(context, back), links=found)
        context.log(f"{host.name}: release {release}, the way back, is whole")
    except (ReleaseMissing, ReleaseAltered) as error:
        if isinstance(error, ReleaseAltered) and live == release and not context.in_maintenance:
            raise StepFailed(f"{error} It is live, so it would not be replaced.") from error
        context.log(f"skipped: {host.name}: lay out release {release} again, the way back: {error}")


def prove(context: StepContext, host: TargetHost, back: KnownGood) -> None:
    """Every file of it on this host; what is missing or altered is laid out again. Raises StepFailed, ReleaseInUse."""
    release = str(back.number)
    try:
        found = links_there(host, back.number)
        verify(host.connection, release=release, package=_package(context, back), links=found)
        context.log(f"{host.name}: release {release}, the way back, is whole")
    except (ReleaseMissing, ReleaseAltered) as error:
        context.log(f"{error} It is laid out again.")
        _mend(context, host, back, error)


def _mend(context: StepContext, host: TargetHost, back: KnownGood, error: ReleaseError) -> None:
    try:
        lay_out_again(context, host, back)
    except ReleaseInUse:
        if not context.in_maintenance:
            raise StepFailed(
                f"{error} It is live, so it is not replaced. Put those files back as they were, then release again."
            ) from error
        context.log(f"{host.name}: {error} It is live behind the screen and left as it is.")


def _package(context: StepContext, back: KnownGood) -> Package:
    found = context.packages.find(back.digest)
    if found is not None:
        return found
    context.log(f"the package of release {back.number} is not in the store; it is built again")
    built = context.packages.get(
        mirror=context.mirror, commit=back.commit, build=build_of(context.recipe), log=context.log, guard=context.guard
    )
    if built.digest != back.digest:
        raise StepFailed(
            f"Release {back.number} was built again and came out different, so it is no way back. "
            "Release a revision of which the package is there."
        )
    return built
