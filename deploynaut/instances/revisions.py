"""Which revision somebody means: a branch, a tag, an earlier release or a commit id, resolved to a full id when chosen.

Asks the index alone, never git: what is not in the index has not been fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from deploynaut.engine.repository import BadRevision, check_ref
from deploynaut.instances.models import Commit, Instance, Ref

FULL_ID = re.compile(r"\A[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


class By(StrEnum):
    """The ways of choosing."""

    BRANCH = "branch"
    TAG = "tag"
    RELEASE = "release"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit, with the branch, tag or release it was chosen by (`name` is empty for a bare commit id)."""

    commit: str
    by: By
    name: str = ""


class RevisionNotFound(ValueError):
    """Nothing of that name has been fetched."""


def choose(instance: Instance, *, by: str, text: str) -> Revision:
    """The revision somebody means by `text`.

    Raises BadRevision when the text cannot be a name or id, RevisionNotFound when nothing fetched has it. An earlier
    release is chosen by its commit id; that it was one is for the caller to check.
    """
    match by:
        case By.BRANCH | By.TAG:
            check_ref(text)
            ref = Ref.objects.filter(instance=instance, kind=by, name=text).first()
            if ref is None:
                raise RevisionNotFound(f"There is no {by} {text!r} in {instance}. Fetch the latest changes first.")
            return Revision(commit=ref.commit, by=By(by), name=text)
        case By.COMMIT | By.RELEASE:
            return Revision(commit=_commit(instance, text), by=By(by))
        case _:
            raise BadRevision("Choose by branch, tag, earlier release or commit id.")


def _commit(instance: Instance, text: str) -> str:
    if not FULL_ID.match(text):
        raise BadRevision(
            f"{text[:80]!r} is not a full commit id: 40 digits 0-9 and a-f, in lower case; this has {len(text)}."
        )
    if not Commit.objects.filter(instance=instance, hex=text).exists():
        raise RevisionNotFound(f"Commit {text} is not in {instance}. Fetch the latest changes, or check the id.")
    return text
