"""The package of a revision, from the store or built now, and putting it on every host in lockstep."""

from __future__ import annotations

from dataclasses import replace

from deploynaut.engine.packages import Build, Package, Previous, Survey, lay_out, removable
from deploynaut.engine.recipes import Recipe
from deploynaut.engine.shell import command
from deploynaut.engine.steps.base import StepContext, StepFailed, TargetHost
from deploynaut.engine.steps.hosts import on_all
from deploynaut.engine.steps.shared import fill, links, links_there


def package_of(context: StepContext) -> Package:
    """The package of the commit: the very one that was tested before, from the store, else made now.

    Raises StepFailed when what was made now is not the one that was tested.
    """
    context.mirror.keep(context.commit, name=context.label)
    tested = context.packages.find(context.digest) if context.digest else None
    if tested is not None:
        context.log(f"package {tested.digest[:12]} is in the store, as it was tested; nothing is built")
        return replace(tested, commit=context.commit, tree=context.mirror.tree(context.commit))
    package = context.packages.get(
        mirror=context.mirror,
        commit=context.commit,
        build=build_of(context.recipe),
        log=context.log,
        guard=context.guard,
    )
    if context.digest and package.digest != context.digest:
        raise StepFailed(
            f"The package of {context.commit[:12]} came out different from the one that was tested "
            f"({package.digest[:12]}, not {context.digest[:12]}), which is not in the store any more. "
            "Release it to UAT again."
        )
    return package


def build_of(recipe: Recipe) -> Build | None:
    """The recipe's commands as one build."""
    if not recipe.build:
        return None
    if len(recipe.build) == 1:
        return Build(recipe.build[0])
    first, *rest = (command(*words) for words in recipe.build)
    for following in rest:
        first = first.then(following)
    return Build(("/bin/sh", "-c", first.render()))


def lay_out_everywhere(context: StepContext, package: Package, seen: dict[str, Survey]) -> dict[str, str]:
    """The package beside the live release on every host, shared paths filled and linked, every file verified there.

    Gives how it was done, by host. Raises StepFailed naming each host where it could not be.
    """

    def act(host: TargetHost) -> str:
        fill(context, host, package)
        done = lay_out(
            host.connection,
            package=package,
            release=str(context.number),
            previous=_live(context, host, seen[host.name]),
            recyclable=_recyclable(context, host, seen[host.name]),
            links=links(context.recipe),
            seen=seen[host.name],
            log=context.log,
        )
        context.log(f"{host.name}: {done}; every file verified")
        return str(done)

    return on_all(context.targets, act, what=f"Release {context.number} could not be laid out")


def _live(context: StepContext, host: TargetHost, seen: Survey) -> Previous | None:
    return _previous(context, host, seen, seen.live) if seen.live else None


def _recyclable(context: StepContext, host: TargetHost, seen: Survey) -> list[Previous]:
    """Releases that the clean-up after this one would remove."""
    old = removable(
        seen.releases,
        live=seen.live,
        known_good=str(context.back_to.number) if context.back_to else None,
        pinned={str(number) for number in context.kept},
        keep=context.spec.keep_releases - 1,
    )
    found = (_previous(context, host, seen, name) for name in old)
    return [one for one in found if one is not None]


def _previous(context: StepContext, host: TargetHost, seen: Survey, name: str) -> Previous | None:
    digest = next((one.digest for one in seen.releases if one.name == name), "")
    package = context.packages.find(digest) if digest else None
    if package is None:
        return None
    return Previous(name, package.manifest.with_links(links_there(host, int(name))))
