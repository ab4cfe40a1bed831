"""A pipeline file as it was typed, looked at for one environment: what it means, or each mistake with its line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deploynaut.engine.pipeline import PipelineSpec, SpecError, parse
from deploynaut.instances import approvers
from deploynaut.instances.models import Environment

LONGEST = 100_000
"""Characters that are taken from a form; the file may have fewer, and says so."""
SHOWN = 160
NAME = "pipeline.yml"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where, what, and the line it is in; `pointer` is as long as what stands before the mistake."""

    place: str
    words: str
    line: int = 0
    source: str = ""
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A text, and what was found."""

    text: str
    spec: PipelineSpec | None
    problems: tuple[Problem, ...] = ()


def typed(text: str) -> str:
    """A text from a form: lines end in one way, none of them empty at the end."""
    return text[:LONGEST].replace("\r\n", "\n").replace("\r", "\n").rstrip()


def check(environment: Environment, text: str) -> Checked:
    """The text against this environment's kind, people and hosts, as they are now."""
    try:
        spec = parse(
            text,
            production=environment.production,
            name=NAME,
            may_approve=lambda entry: approvers.may(environment, entry),
            approvers=lambda entry: approvers.persons_of(environment, entry),
            hosts=environment.allowed_hosts,
        )
    except SpecError as error:
        return Checked(text, None, tuple(problem(line, text) for line in error.problems))
    return Checked(text, spec)


def problem(told: str, text: str) -> Problem:
    """A line `file:line:column: words` with the line it speaks of."""
    found = re.match(r"([^\n]*?:([0-9]+):([0-9]+)): (.*)", told, re.DOTALL)
    if found is None:
        return Problem("", told)
    line, column = int(found[2]), int(found[3])
    lines = text.split("\n")
    source = lines[line - 1] if line <= len(lines) else ""
    # A long line is shown around its mistake.
    begin = max(0, min(column - 1, len(source)) - SHOWN // 2)
    pointer = "".join(letter if letter == "\t" else " " for letter in source[begin : column - 1])
    return Problem(found[1], found[4], line, source[begin : begin + SHOWN], pointer)
