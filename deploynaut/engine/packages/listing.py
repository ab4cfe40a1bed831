"""What a target says a directory holds, read from its disk: every path, mode, link target and file digest."""

from __future__ import annotations

import io
from pathlib import Path

from deploynaut.engine.connections.base import Connection
from deploynaut.engine.packages.manifest import Difference, Manifest, State, difference
from deploynaut.engine.repository import Kind
from deploynaut.engine.shell import script

TRANSFER_SECONDS = 4 * 3600.0
LIST_SECONDS = 1800.0

_SAME = b"same"
_KINDS = {"f": Kind.FILE, "l": Kind.LINK, "d": Kind.DIRECTORY}


def compared(
    connection: Connection, text: str, *arguments: str, wanted: Manifest, stdin: bytes | Path | None = None
) -> Difference:
    """What a listing script finds to differ from what is wanted; its last argument is the proof of that."""
    heard = io.BytesIO()
    timeout = LIST_SECONDS if stdin is None else TRANSFER_SECONDS
    connection.run(script(text, *arguments, wanted.proof), timeout=timeout, stdin=stdin, output_to=heard)
    if heard.getvalue() == _SAME:
        return Difference((), ())
    return difference(wanted=wanted.states, found=_states(heard.getvalue()))


def _states(listed: bytes) -> dict[str, State]:
    paths, _, sums = listed.decode("utf-8", "surrogateescape").partition("\0\0")
    hashes = {path[2:]: sum_ for sum_, _, path in (line.partition(" *") for line in sums.split("\0"))}
    found: dict[str, State] = {}
    for record in filter(None, paths.split("\0")):
        head, _, target = record.partition("//")
        letter, mode, path = head.split(" ", 2)
        kind = _KINDS.get(letter, letter)
        found[path] = State(kind, 0 if kind is Kind.LINK else int(mode, 8), target or hashes.get(path, ""))
    return found
