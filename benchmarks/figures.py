"""The figures' place: docs/reference/benchmarks.md, one section a benchmark."""

from __future__ import annotations

import re
import time
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "benchmarks.md"

_TOP = """# Benchmarks

Measured by `python -m benchmarks.NAME`, which writes its section here and fails when a figure is over its bar.
Figures are ratios where they can be: a machine has good and bad days, and both sides of a ratio share them.
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, readable as it stands."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [head, *rows]
    ]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]]) + "\n"


def write(name: str, *, title: str, words: str, machine: str, head: list[str], rows: list[list[str]]) -> None:
    """Put one benchmark's section on the page, in place of its older one."""
    section = (
        f"<!-- {name} -->\n## {title}\n\n`python -m benchmarks.{name}`, {time.strftime('%Y-%m-%d')}. {machine}.\n"
        f"{words}\n{table(head, rows)}<!-- end of {name} -->\n"
    )
    page = PAGE.read_text("utf-8") if PAGE.exists() else _TOP
    old = re.compile(rf"<!-- {name} -->\n.*<!-- end of {name} -->\n", re.DOTALL)
    page = old.sub(lambda _: section, page) if old.search(page) else f"{page}\n{section}"
    PAGE.write_text(page, "utf-8")
