"""What must hold between the parts of a pipeline file, and what only an environment can tell: its people, its hosts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from deploynaut.engine.pipeline.parts import File, TestSpec
from deploynaut.engine.pipeline.reading import Document
from deploynaut.engine.pipeline.values import ROLES
from deploynaut.engine.pipeline.web_addresses import host, inside, never, same_host

REDIRECTS = (301, 302, 303, 307, 308)

Where = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the pipeline is for. None: nobody asks, as when a frozen file is read again.

    `may_approve`: whether an entry of `ask` may approve here. `approvers`: the people it stands for. `hosts`: names,
    addresses and networks that smoke tests may ask.
    """

    production: bool
    order: tuple[str, ...]
    may_approve: Callable[[str], bool] | None = None
    approvers: Callable[[str], Collection[object]] | None = None
    hosts: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """A step that the file names: its settings, and where they are written."""

    settings: Any
    where: Where


def broken(file: File, named: dict[str, Named], document: Document, here: Place) -> list[str]:
    """Every rule that the file breaks, with its place."""
    found = [
        *_order(named, here),
        *_failure(file, here),
        *_ask(named, here),
        *(problem for name, test in file.smoke_tests.items() for problem in _smoke_test(name, test, here)),
        *(
            (("messages", event), "says nothing; give it a subject, a body or a text")
            for event, text in file.messages.items()
            if not (text.subject or text.body or text.text)
        ),
    ]
    return [f"{document.place(*where)}: {problem}" for where, problem in found]


def _order(named: dict[str, Named], here: Place) -> Iterator[tuple[Where, str]]:
    foreign = [kind for kind in named if kind not in here.order]
    for kind in foreign:
        yield named[kind].where[:2], f"{kind} is a step of production environments"
    wanted = [kind for kind in here.order if kind in named]
    for is_there, should_be in zip([kind for kind in named if kind not in foreign], wanted, strict=True):
        if is_there != should_be:
            yield named[is_there].where[:2], f"the steps have a fixed order here: {', '.join(wanted)}"
            return


def _failure(file: File, here: Place) -> Iterator[tuple[Where, str]]:
    if here.production and file.on_failure.database == "keep":
        yield ("on_failure", "database"), "on production the database goes back with the code"
    if not here.production and file.promote_from:
        yield ("promote_from",), "only production environments promote"


def _ask(named: dict[str, Named], here: Place) -> Iterator[tuple[Where, str]]:
    approval = named.get("approval")
    if approval is None or "ask" not in approval.settings.model_fields_set:
        return
    groups, where = approval.settings.ask, (*approval.where, "ask")
    if not groups or not all(groups):
        yield where, "names nobody in one of its groups; a release to production needs somebody's approval"
    wrong = list(_who_may_not(groups, where, here))
    yield from wrong
    if not wrong and groups and all(groups) and _one_alone(groups, here):
        yield where, "nobody but one person could approve, and nobody approves a release of one's own: ask one more"


def _who_may_not(groups: tuple[tuple[str, ...], ...], where: Where, here: Place) -> Iterator[tuple[Where, str]]:
    for number, group in enumerate(groups):
        for index, entry in enumerate(group):
            if here.may_approve is not None and not here.may_approve(entry):
                yield (*where, number, index), f"{entry} may not approve here; give them a role that may, or ask others"


def _one_alone(groups: tuple[tuple[str, ...], ...], here: Place) -> bool:
    entries = {entry if entry in ROLES else entry.lower() for group in groups for entry in group}
    if here.approvers is not None:
        return len({person for entry in entries for person in here.approvers(entry)}) < 2
    return here.may_approve is not None and len(entries) < 2 and not entries & set(ROLES)


def _smoke_test(name: str, test: TestSpec, here: Place) -> Iterator[tuple[Where, str]]:
    if test.redirect and test.status not in REDIRECTS:
        words = f"with `redirect` the status is one of {', '.join(map(str, REDIRECTS))}"
        yield ("smoke_tests", name, "redirect"), words
    if here.hosts is not None and (words := _not_asked(host(test.url), here.hosts)):
        yield ("smoke_tests", name, "url"), words


def _not_asked(asked: str, hosts: frozenset[str]) -> str:
    """Why smoke tests may not go there; empty when they may."""
    if words := never(asked):
        return f"{asked} is {words}"
    if any(_covers(entry, asked) for entry in hosts):
        return ""
    private = f", and it is {words}" if (words := inside(asked)) else ""
    return f"{asked} is not a host of this environment{private}; its settings list the hosts that tests may ask"


def _covers(entry: str, asked: str) -> bool:
    if "/" not in entry:
        return same_host(entry) == asked
    try:
        return ip_address(asked) in ip_network(entry, strict=False)
    except ValueError:
        return False
