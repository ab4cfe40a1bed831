"""Rows of the audit trail as CSV. No cell is a formula: whoever opens the file in a spreadsheet runs nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

from deploynaut.accounts.models import AuditEntry

HEAD = ("at (UTC)", "who", "action", "kind", "id", "on what", "before", "after", "result")
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_csv(entries: Iterable[AuditEntry], *, addresses: bool) -> str:
    """The whole file; `addresses`: with the network address that each act came from."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow([*HEAD, "from"] if addresses else HEAD)
    for entry in entries:
        cells = [
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.actor_name,
            entry.action,
            entry.subject_kind,
            str(entry.subject_id or ""),
            entry.subject_text,
            _values(entry.before),
            _values(entry.after),
            entry.result,
            *([entry.ip or ""] if addresses else []),
        ]
        writer.writerow([neutral(cell) for cell in cells])
    return text.getvalue()


def neutral(cell: str) -> str:
    """The same text, which a spreadsheet reads as text: an apostrophe goes before what would begin a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(FORMULAS) or cell.startswith(FORMULAS) else cell


def _values(values: object) -> str:
    return json.dumps(values, ensure_ascii=False) if values else ""
