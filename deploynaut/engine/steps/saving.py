"""Saving the data of a site into a snapshot, and putting them back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from deploynaut.engine.databases import Database, Inventory
from deploynaut.engine.databases.files import StoredSnapshot
from deploynaut.engine.recipes import Recipe
from deploynaut.engine.steps.base import StepContext, StepFailed


def database_of(recipe: Recipe) -> Database | None:
    """The adapter of the site's database, None when it has none."""
    return recipe.database.adapter() if recipe.database else None


def name_for(context: StepContext, purpose: str) -> str:
    """The one name that this run's snapshot for `purpose` has: `demo-uat-42-1f3a9c2e-backup`."""
    return f"{context.label}-{purpose}"


def save(context: StepContext, database: Database, *, name: str) -> StoredSnapshot:
    """The data as they are now, consistent, checksummed, read back. What a run cut short has left is replaced."""
    context.snapshots.delete(name)
    taken_at = context.clock()
    with context.snapshots.create(name) as writer:
        inventory = database.dump(
            context.once.connection, to=cast(BinaryIO, writer), log=context.log, guard=context.guard
        )
        stored = writer.keep(taken_at=taken_at, inventory=inventory)
    context.log(f"saved as {stored.name}: {stored.size} bytes, read back, sha256 {stored.sha256}")
    return stored


def save_once(context: StepContext, database: Database, *, name: str) -> StoredSnapshot:
    """The first complete one of this name; asked again, the same.

    For a step that changes the data afterwards: run once more after a kill, it must not take what it has changed itself
    for what was there. The record beside the file, written last, is what says complete.
    """
    record = _record(context, name)
    if record.exists() and context.snapshots.path(name).exists():
        context.log(f"{name} was saved before this step was cut off; it is kept")
        return from_fact(json.loads(record.read_text()))
    stored = save(context, database, name=name)
    _write(record, json.dumps(as_fact(stored)))
    return stored


def put_back(context: StepContext, database: Database, stored: StoredSnapshot) -> None:
    """The data of the snapshot, verified whole before the live ones are touched. Killed at any moment: all or none."""
    with context.snapshots.open(stored.name, sha256=stored.sha256) as source:
        connection = context.once.connection
        database.restore(connection, source=source, inventory=stored.inventory, log=context.log, guard=context.guard)


def as_fact(stored: StoredSnapshot) -> dict[str, Any]:
    """Plain values for later steps and for the page. `inventory` is for people, `objects` for the way back."""
    return {
        "name": stored.name,
        "size": stored.size,
        "sha256": stored.sha256,
        "taken_at": stored.taken_at.isoformat(),
        "inventory": stored.inventory.text() if stored.inventory else "nothing there yet",
        "objects": stored.inventory.as_json() if stored.inventory else None,
    }


def from_fact(fact: Mapping[str, Any]) -> StoredSnapshot:
    """What `as_fact` gave. Raises StepFailed when there is nothing in it."""
    if not fact.get("name"):
        raise StepFailed("No snapshot of this run is known, so the data cannot be put back. Choose one by hand.")
    objects = fact["objects"]
    return StoredSnapshot(
        name=fact["name"],
        size=fact["size"],
        sha256=fact["sha256"],
        taken_at=datetime.fromisoformat(fact["taken_at"]),
        inventory=Inventory.from_json(objects) if objects is not None else None,
    )


def _record(context: StepContext, name: str) -> Path:
    return context.snapshots.path(name).with_name(f"{name}.json")


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
