"""RA02: every route, method, role and object is answered as `matrix.txt` says; a new route needs its lines there."""

from __future__ import annotations

import os

import pytest

from tests.doors.matrix import FILE, WRITE, Asker, as_text, blocks, lines
from tests.doors.world import routes

AGAIN = "When this is meant: python -m tests.doors.matrix, and look at the difference."
PARTS = 2


def written() -> dict[str, list[str]]:
    """The lines of each route, as they are committed."""
    return blocks(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


@pytest.mark.parametrize("part", range(PARTS))
def test_every_route_answers_everybody_as_written(db: None, part: int) -> None:
    asker = Asker()
    mine = list(routes())[part::PARTS]
    answered = {f"/{route}": lines(asker.answers(route, pattern)) for route, pattern in mine}
    broken = [route for route, found in answered.items() if any(" 5" in line for line in found)]
    assert not broken, "an internal error"
    _check_alike(asker.bodies)
    if os.environ.get(WRITE):
        FILE.write_text(as_text(_there(written()) | answered), encoding="utf-8")
    kept = written()
    wrong = {route: found for route, found in answered.items() if found != kept.get(route)}
    assert not wrong, "\n".join([AGAIN, *(f"{route}\n" + "\n".join(found) for route, found in wrong.items())])


def _there(kept: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without the routes that are gone."""
    return {route: found for route, found in kept.items() if route in {f"/{route}" for route, _ in routes()}}


def _check_alike(bodies: dict[tuple[str, str, str], str]) -> None:
    """What may not be seen and what is not there is answered with the same page."""
    assert len({digest for (_, _, kind), digest in bodies.items() if kind in ("foreign", "missing")}) <= 1


def test_the_file_has_each_route_once_and_none_that_is_gone() -> None:
    text = FILE.read_text(encoding="utf-8")
    found = [line for line in text.splitlines() if line.startswith("/")]
    assert found == sorted({f"/{route}" for route, _ in routes()}), AGAIN
