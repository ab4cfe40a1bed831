"""How the server's own log is written: one record, one line, nothing a terminal would obey."""

from __future__ import annotations

import logging


def printable(text: str) -> str:
    """The text with every control, bidirectional and invisible character written as an escape."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


class PlainFormatter(logging.Formatter):
    """Escapes what people from outside may have put into a message; the lines of a trace are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 (the name is logging's)
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type]  # typeshed's private alias
        return "\n".join(f"    {printable(line)}" for line in lines)
