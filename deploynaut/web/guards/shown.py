"""A proposal as a page shows it: what it would change, old beside new."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploynaut.accounts.roles import Role
from deploynaut.instances.proposal import Proposal, ProposalKind, ProposalStatus
from deploynaut.web.looks import Look

LOOKS = {
    ProposalStatus.OPEN: Look("Waiting", "pause", "wait"),
    ProposalStatus.CONFIRMED: Look("Confirmed", "check", "good"),
    ProposalStatus.REFUSED: Look("Refused", "cross", "warn"),
    ProposalStatus.WITHDRAWN: Look("Withdrawn", "undo", "calm"),
    ProposalStatus.OVERTAKEN: Look("Overtaken", "skip", "calm"),
}
_LABELS = {
    "url": "Address of the site",
    "recipe": "Recipe",
    "recipe_options": "Recipe options",
    "hosts": "Hosts that tests may ask",
    "address": "Host",
    "port": "Port",
    "user": "User",
    "base": "Base path",
    "page": "Where this host answers",
    "target": "Target",
    "fingerprint": "Fingerprint",
    "name": "Person",
    "role": "Role",
    "given": "Has it",
    "removed": "Removed",
    "web": "Serves pages (web)",
    "db": "Does what is done once (db)",
}
_HIDDEN = frozenset({"pipeline", "person", "host_key", "reach", "address_of_person"})


@dataclass(frozen=True, slots=True)
class Change:
    """One value, before and after; `same`: it only says what the proposal is about."""

    label: str
    before: str
    after: str

    @property
    def same(self) -> bool:
        """Nothing changes here."""
        return self.before == self.after


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a pipeline's difference: added, removed, or as it was."""

    tone: str
    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A proposal and how it looks."""

    proposal: Proposal

    @property
    def look(self) -> Look:
        """Where it stands."""
        return LOOKS[ProposalStatus(self.proposal.status)]

    @property
    def changes(self) -> list[Change]:
        """Every value but the pipeline's text."""
        before, after = self.proposal.before, self.proposal.after
        names = [name for name in _LABELS if after.get(name) or before.get(name) or after.get(name) is False]
        return [Change(_label(self.proposal, name), _text(name, before.get(name)), _text(name, after[name]))
                for name in names if name not in _HIDDEN]  # fmt: skip

    @property
    def lines(self) -> list[Line]:
        """How the pipeline's text would change; empty when it does not."""
        before, after = (str(side.get("pipeline", "")) for side in (self.proposal.before, self.proposal.after))
        return list(_difference(before, after))


def _label(proposal: Proposal, name: str) -> str:
    return "E-mail address" if proposal.kind == ProposalKind.ROLE and name == "address" else _LABELS[name]


def _text(name: str, value: Any) -> str:
    match value:
        case None | "" | []:
            return "–"
        case bool():
            return "yes" if value else "no"
        case list():
            return "\n".join(str(one) for one in value)
        case dict():
            return json.dumps(value, indent=2) if value else "–"
        case str() if name == "role":
            return Role(value).label
        case _:
            return str(value)


def _difference(before: str, after: str) -> Iterator[Line]:
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    for line in list(found)[2:]:
        match line[:1]:
            case "+":
                yield Line("more", "+", line[1:])
            case "-":
                yield Line("less", "−", line[1:])
            case "@":
                yield Line("gap", "⋯", "")
            case _:
                yield Line("same", " ", line[1:])
