"""The pipeline file of an environment: YAML in the form of the decisions, checked whole, errors with file:line:column.

Times carry a unit (`90s`, `10m`, `2h`, `7d`); unknown keys are errors; everything else has a default. On production the
steps that protect a site are always there, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from deploynaut.engine.pipeline.parts import FORWARD, KINDS, PRODUCTION, File, OnFailure, Part, TestSpec, Text
from deploynaut.engine.pipeline.reading import Document, SpecError, load
from deploynaut.engine.pipeline.rules import Named, Place, broken
from deploynaut.engine.pipeline.values import duration, written

__all__ = [
    "FORWARD", "KINDS", "PRODUCTION", "File", "OnFailure", "PipelineSpec", "TestSpec", "Text", "duration", "parse",
    "written",
]  # fmt: skip


class PipelineSpec(Part):
    """A pipeline that can be run: every step with its settings, in order. `named`: the steps that the file writes."""

    description: str
    promote_from: str
    steps: tuple[tuple[str, Any], ...]
    smoke_tests: Mapping[str, TestSpec]
    keep_releases: int
    notify: Mapping[str, tuple[str, ...]]
    messages: Mapping[str, Text]
    on_failure: OnFailure
    named: frozenset[str] = frozenset()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the steps, in order."""
        return tuple(kind for kind, _ in self.steps)

    def settings(self, kind: str) -> Any:
        """The settings of a step; the defaults when the pipeline has no such step (`roll_back` uses `release`'s)."""
        return dict(self.steps).get(kind) or KINDS[kind]()


def parse(
    text: str,
    *,
    production: bool,
    name: str = "pipeline.yml",
    may_approve: Callable[[str], bool] | None = None,
    approvers: Callable[[str], Collection[object]] | None = None,
    hosts: frozenset[str] | None = None,
) -> PipelineSpec:
    """The pipeline written in `text`.

    What is given of the environment is checked too: who `may_approve` and which people (`approvers`) an entry of `ask`
    stands for, the `hosts` that smoke tests may ask. Raises SpecError with every problem found, each with its place.
    """
    document = load(text, name)
    order = PRODUCTION if production else ("prepare", *FORWARD)
    here = Place(production=production, order=order, may_approve=may_approve, approvers=approvers, hosts=hosts)
    problems: list[str] = []
    file = _file(document, problems)
    named = _steps(document, problems)
    if file is not None:
        problems += broken(file, named, document, here)
    if problems or file is None:
        raise SpecError(_by_line(problems))
    return _whole(file, named, here)


def _whole(file: File, named: dict[str, Named], here: Place) -> PipelineSpec:
    given = {kind: step.settings for kind, step in named.items()}
    return PipelineSpec(
        description=file.description,
        promote_from=file.promote_from or ("uat" if here.production else ""),
        steps=tuple((kind, given.get(kind) or KINDS[kind]()) for kind in here.order),
        smoke_tests=file.smoke_tests,
        keep_releases=file.keep_releases,
        notify={str(event): to for event, to in file.notify.items()},
        messages={str(event): text for event, text in file.messages.items()},
        on_failure=file.on_failure,
        named=frozenset(named),
    )


def _file(document: Document, problems: list[str]) -> File | None:
    try:
        return File.model_validate(_tuples(document.value))
    except ValidationError as error:
        problems += [_told(document, e["loc"], e) for e in error.errors()]
    return None


def _steps(document: Document, problems: list[str]) -> dict[str, Named]:
    """The steps named by the file, by kind; each at most once."""
    found: dict[str, Named] = {}
    items = document.value.get("steps")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        try:
            kind, settings = _step(item)
            if kind in found:
                raise ValueError(f"{kind} is there twice")
            where = ("steps", index, kind)
            found[kind] = Named(KINDS[kind].model_validate(_tuples(settings or {})), where)
        except ValidationError as error:
            problems += [_told(document, (*where, *e["loc"]), e) for e in error.errors()]
        except ValueError as error:
            problems.append(f"{document.place('steps', index)}: {error}")
    return found


def _step(item: Any) -> tuple[str, Any]:
    if not isinstance(item, str | dict):
        raise ValueError("a step is one name with its settings, such as `- backup: {assets: true}`")
    kind, settings = (item, {}) if isinstance(item, str) else next(iter(item.items()), ("", None))
    if isinstance(item, dict) and len(item) != 1:
        raise ValueError("a step is one name with its settings, such as `- backup: {assets: true}`")
    if kind not in KINDS:
        raise ValueError(f"there is no step {kind[:60]!r}; known are {', '.join(KINDS)}")
    if settings is not None and not isinstance(settings, dict):
        raise ValueError(f"{kind} cannot be switched off or given one word; its settings are a list of keys")
    return kind, settings


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


# --- what pydantic found wrong, for people ---

_WORDS = {
    "missing": "is missing",
    "int_type": "should be a whole number",
    "bool_type": "should be true or false",
    "string_type": "should be text; put it in quotes",
    "tuple_type": "should be a list",
    "dict_type": "should be a list of keys",
    "model_type": "should be a list of keys",
}


def _told(document: Document, location: tuple[Any, ...], error: Any) -> str:
    location = tuple(part for part in location if part != "[key]")
    words = _WORDS.get(error["type"], str(error["msg"]))
    if error["type"] == "extra_forbidden":
        words = _unknown(location)
    elif error["type"] == "too_long":
        words = f"has {error['ctx']['actual_length']} entries; {error['ctx']['max_length']} are the most"
    return f"{document.place(*location)}: {words.removeprefix('Value error, ')}"


def _unknown(location: tuple[Any, ...]) -> str:
    known = list(_keys_at(location[:-1]).model_fields)
    near = get_close_matches(str(location[-1])[:60], known, n=1)
    return f"unknown key; is {near[0]} meant?" if near else f"unknown key; known here are {', '.join(known)}"


def _keys_at(location: tuple[Any, ...]) -> type[Part]:
    match location:
        case ("steps", _, str(kind)) if kind in KINDS:
            return KINDS[kind]
        case ("smoke_tests", _):
            return TestSpec
        case ("messages", _):
            return Text
        case ("on_failure",):
            return OnFailure
        case _:
            return File


def _by_line(problems: list[str]) -> list[str]:
    """Each once, in the order of the file."""

    def place(problem: str) -> tuple[int, int]:
        found = re.search(r":([0-9]+):([0-9]+): ", problem)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    return sorted(dict.fromkeys(problems), key=place)
