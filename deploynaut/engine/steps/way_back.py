"""What the way back undoes, decided from plain values."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from deploynaut.engine.pipeline import Mark

TOUCHED = frozenset({Mark.MIGRATING, Mark.SWITCHING, Mark.VERIFYING, Mark.OPEN})
"""From these marks on, data or code of the live site may have changed."""


def database_goes_back(*, marks: AbstractSet[Mark], production: bool, code_only: bool, keep: bool) -> bool:
    """Whether the data saved by `backup` are put back.

    `code_only`: the person who pressed Rollback chose so. `keep`: `on_failure: {database: keep}`, which counts on test
    and UAT alone. On production the data go back as soon as the new code may have written to them.
    """
    if code_only:
        return False
    if production:
        return bool(marks & TOUCHED)
    return Mark.MIGRATING in marks and not keep
