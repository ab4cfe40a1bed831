"""Reads the settings that arrive as environment variables, each with its type, and the files kept beside the data."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

YES: Final = frozenset({"1", "true", "yes", "on"})
NO: Final = frozenset({"", "0", "false", "no", "off"})
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class BadSetting(Exception):
    """An environment variable holds what its setting cannot be; the text names both."""


def text(name: str, default: str = "") -> str:
    """The variable, without white space around it."""
    return os.environ.get(name, default).strip()


def words(name: str, default: str) -> list[str]:
    """The variable, cut at commas; empty parts are left out."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def switch(name: str) -> bool:
    """The variable as yes or no. Unset is no."""
    value = text(name).lower()
    if value in YES or value in NO:
        return value in YES
    raise BadSetting(f"{name} is {value!r}. Write yes or no.")


def number(name: str, default: int) -> int:
    """The variable as a whole number, never negative."""
    value = text(name, str(default))
    if value.isascii() and value.isdigit():
        return int(value)
    raise BadSetting(f"{name} is {value!r}. Write a whole number, such as {default}.")


def path(name: str, default: Path) -> Path:
    """The variable as an absolute path."""
    return Path(text(name) or default).expanduser().resolve()


def private_directory(directory: Path) -> Path:
    """The directory, made with mode 0700 where it was missing."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def kept_secret(file: Path) -> str:
    """The secret in the file; made (mode 0600) by whoever comes first, the same for every process after."""
    private_directory(file.parent)
    mine = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not file.exists():
        _write_private(mine, secrets.token_urlsafe(50))
        try:
            os.link(mine, file)
        except FileExistsError:
            pass  # another process was first: its secret counts
        finally:
            mine.unlink()
    return file.read_text(encoding="ascii").strip()


def _write_private(file: Path, content: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
