"""What a target says a directory holds, read from its disk: every path, mode, link target and file digest."""

from __future__ import annotations

import io
from pathlib import Path

from deploynaut.engine.connections.base import Connection
from deploynaut.engine.packages.manifest import State, States
from deploynaut.engine.repository import Kind
from deploynaut.engine.shell import script

TRANSFER_SECONDS = 4 * 3600.0
LIST_SECONDS = 1800.0

_END_OF_PATHS = "="
_KINDS = {"f": Kind.FILE, "l": Kind.LINK, "d": Kind.DIRECTORY}


def listed(connection: Connection, text: str, *arguments: str, stdin: bytes | Path | None = None) -> States:
    """What a listing script says is there."""
    heard = io.BytesIO()
    timeout = LIST_SECONDS if stdin is None else TRANSFER_SECONDS
    connection.run(script(text, *arguments), timeout=timeout, stdin=stdin, output_to=heard)
    return _states(heard.getvalue())


def _states(listed: bytes) -> dict[str, State]:
    fields = listed.decode("utf-8", "surrogateescape").split("\0")
    end = next((at for at in range(0, len(fields), 3) if fields[at] == _END_OF_PATHS), len(fields))
    hashes = {path[2:]: sum_ for sum_, _, path in (line.partition(" *") for line in fields[end + 3 :])}
    found: dict[str, State] = {}
    for head, path, target in zip(fields[0:end:3], fields[1:end:3], fields[2:end:3], strict=True):
        letter, _, mode = head.partition(" ")
        kind = _KINDS.get(letter, letter)
        found[path] = State(kind, 0 if kind is Kind.LINK else int(mode, 8), target or hashes.get(path, ""))
    return found
