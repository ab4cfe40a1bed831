"""The plan: what an approval is for, in a canonical, versioned form with a hash.

Not in it: names, notify lists, sizes, times, preflight figures (decisions, "Production"), so that an upgrade or a
harmless edit voids nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from deploynaut.engine.pipeline import PipelineSpec
from deploynaut.engine.pipeline.canonical import canonical
from deploynaut.instances.models import Commit, Target

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment

VERSION = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done.

    `commit`: full id; `tree`: git's tree id, empty when the index does not know it; `digest`: of the package's content;
    `pipeline`: canonical form; `recipe`: kind and options; `targets`: hosts with their pinned keys, sorted; `back_to`:
    the release that a failure goes back to; `data`: what is saved, and what becomes of it on the way back.
    """

    commit: str
    tree: str
    digest: str
    pipeline: Mapping[str, Any]
    recipe: Mapping[str, Any]
    targets: tuple[str, ...]
    back_to: str
    data: Mapping[str, Any]
    version: int = VERSION

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {**asdict(self), "targets": list(self.targets)}

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON, 64 hexadecimal digits."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Plan:
        """The plan as it was stored; what another version did not write down is empty."""
        known = {one.name: stored[one.name] for one in fields(cls) if one.name in stored}
        return cls(**{**_EMPTY, **known, "targets": tuple(known.get("targets", ()))})


_EMPTY: Mapping[str, Any] = {
    "commit": "", "tree": "", "digest": "", "pipeline": {}, "recipe": {}, "back_to": "", "data": {}, "version": 0,
}  # fmt: skip


def make(
    *,
    commit: str,
    tree: str,
    digest: str,
    spec: PipelineSpec,
    recipe: str,
    options: Mapping[str, Any],
    targets: Iterable[Target],
    back_to: Deployment | None,
) -> Plan:
    """The plan for these facts."""
    database = options.get("database") or {}
    return Plan(
        commit=commit,
        tree=tree,
        digest=digest,
        pipeline=canonical(spec),
        recipe={"kind": recipe, "options": dict(options)},
        targets=tuple(sorted(map(place, targets))),
        back_to=f"#{back_to.number} {back_to.commit} {back_to.digest}" if back_to else "",
        data={
            "database": database,
            "assets": spec.settings("backup").assets,
            "on_failure": spec.on_failure.database,
        },
    )


def frozen(deployment: Deployment, spec: PipelineSpec) -> Plan:
    """The plan as the deployment's own rows stand, with their pipeline: what would really run."""
    return make(
        commit=deployment.commit,
        tree=tree_of(deployment.environment.instance_id, deployment.commit),
        digest=deployment.digest,
        spec=spec,
        recipe=deployment.recipe,
        options=deployment.recipe_options,
        targets=deployment.targets.all(),
        back_to=deployment.back_to,
    )


def tree_of(instance: int, commit: str) -> str:
    """Git's id of the commit's files, from the index; empty when it was indexed before that was kept."""
    found = Commit.objects.filter(instance=instance, hex=commit).values_list("tree", flat=True).first()
    return found or ""


def place(target: Target) -> str:
    """A target as the plan names it: where it is, what it does there, and the key it is known by."""
    where = f"{target.user}@{target.address}:{target.port}" if target.reach == Target.Reach.SSH else "this machine"
    return f"{where} {target.base} {'+'.join(sorted(target.roles))} {target.host_key}".strip()


_WORDS = {
    "commit": "another commit would be released",
    "tree": "the commit's files are others",
    "digest": "the package is another one",
    "pipeline": "the pipeline was edited",
    "recipe": "the recipe was edited",
    "back_to": "another release has gone live, so a failure would go back to that one",
    "data": "the plan for the data was edited",
    "version": "a plan is written down in another form since an upgrade",
}


def differences(before: Plan, after: Plan) -> list[str]:
    """What has changed from one plan to the other, in words for people."""
    found = [words for name, words in _WORDS.items() if getattr(before, name) != getattr(after, name)]
    added = sorted(set(after.targets) - set(before.targets))
    removed = sorted(set(before.targets) - set(after.targets))
    found += [f"the target {_host(target)} was added or changed" for target in added]
    gone = [target for target in removed if _host(target) not in map(_host, added)]
    return found + [f"the target {_host(target)} was removed" for target in gone]


def _host(place: str) -> str:
    """The first part of a place: `deploy@web1.acme.example:22`, or `this machine`."""
    return place.partition(" /")[0]
