"""Commands as values: built from words, quoted in one place, run by a connection and never here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# `=` is plain only behind a dash, so that no first word can become an assignment.
_PLAIN = re.compile(r"-[A-Za-z0-9_@%+=:,./-]*|[A-Za-z0-9_@%+:,./-]+")
_RESERVED = re.compile("case|coproc|do|done|elif|else|esac|fi|for|function|if|in|select|then|time|until|while")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A word that is never shown: `str` and `repr` give `***`, only `reveal()` gives the value."""

    value: str

    def reveal(self) -> str:
        """The secret itself, for whoever hands it to the program that needs it."""
        return self.value

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"


_Pieces = tuple[str | Secret, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Command:
    """What a connection is to run. Each stage is shell text, in pieces, so that secrets stay apart until `render()`."""

    stages: tuple[_Pieces, ...]

    def pipe(self, other: Command) -> Command:
        """This command's output into `other`. Succeeds only when every part does; else: the last failing status."""
        return Command(self.stages + other.stages)

    def then(self, other: Command) -> Command:
        """`other` after this one, only when this one succeeded."""
        return _simple(*self._pieces(), " && ", *other._pieces())

    def in_directory(self, path: str | Path) -> Command:
        """This command with `path` as its working directory; what follows it is not moved."""
        return _simple("( cd -- ", quote(_as_directory(os.fspath(path))), " && ", *self._pieces(), " )")

    def with_environment(self, **values: str | Secret) -> Command:
        """This command with these variables exported. A secret is readable in `environ` by the same user alone."""
        words = [piece for name, value in values.items() for piece in (f" {_variable(name)}=", _piece(value))]
        return _simple("( export", *words, " && ", *self._pieces(), " )") if words else self

    def render(self) -> str:
        """POSIX sh text with the secrets revealed; bytes that are no UTF-8 stand as surrogate escapes. See `encode`."""
        return _join(self._pieces(), lambda secret: quote(secret.reveal()))

    def __str__(self) -> str:
        return " | ".join(_join(stage, str) for stage in self.stages)

    def __repr__(self) -> str:
        return f"Command({self})"

    def _pieces(self) -> _Pieces:
        return self.stages[0] if len(self.stages) == 1 else _piped(self.stages)


def command(*words: str | bytes | Path | Secret) -> Command:
    """One program and its arguments; every word arrives as it is, whatever it holds.

    Raises `BadWord` for a word no shell can carry (NUL) and when no program is named.
    """
    pieces = [_piece(word) for word in words]
    if not pieces or str(pieces[0]).startswith(("-", "''")):
        raise BadWord("A command needs a program's name first; none begins with a dash.")
    return _simple(pieces[0], *(part for piece in pieces[1:] for part in (" ", piece)))


def script(text: str, *arguments: str | bytes | Path) -> Command:
    """A fixed POSIX sh text of ours; what varies arrives as `$1`, `$2`, …, and is never put into the text."""
    return command("/bin/sh", "-c", text, "sh", *arguments)


def quote(word: str | bytes | Path) -> str:
    """The word as any POSIX shell reads it back, byte for byte. Raises `BadWord` for NUL."""
    text = _text(word)
    if _PLAIN.fullmatch(text) and not _RESERVED.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def encode(text: str) -> bytes:
    """The bytes of rendered text, surrogate escapes turned back into the bytes they stand for."""
    return text.encode("utf-8", "surrogateescape")


class BadWord(ValueError):
    """A word cannot be part of a command; the text says why."""


def _text(word: str | bytes | Path) -> str:
    text = word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else os.fspath(word)
    if "\0" in text:
        raise BadWord("A word of a command holds a NUL byte, which no program can be given.")
    try:
        encode(text)
    except UnicodeEncodeError as error:
        raise BadWord("A word of a command holds a lone surrogate, which has no bytes.") from error
    return text


def _piece(word: str | bytes | Path | Secret) -> str | Secret:
    if not isinstance(word, Secret):
        return quote(word)
    _text(word.reveal())
    return word


def _simple(*pieces: str | Secret) -> Command:
    return Command((pieces,))


def _as_directory(path: str) -> str:
    if not path:
        raise BadWord("A command cannot run in a directory without a name.")
    # `cd -` and CDPATH act on bare relative names only.
    return path if path.startswith(("/", "./", "../")) else f"./{path}"


def _variable(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadWord(f"{name!r} cannot be the name of an environment variable.")
    return name


def _join(pieces: _Pieces, show: Callable[[Secret], str]) -> str:
    return "".join(piece if isinstance(piece, str) else show(piece) for piece in pieces)


def _piped(stages: tuple[_Pieces, ...]) -> _Pieces:
    """A pipeline that fails when any part fails, in shells without pipefail.

    Every part reports `number:status` on descriptor 3, which a command substitution collects; descriptor 4 is
    the pipeline's own output. A part that ends without a report (killed shell) counts as failed.
    """
    pieces: list[str | Secret] = ["( exec 4>&1; set -- $( { "]
    for number, stage in enumerate(stages, start=1):
        last = number == len(stages)
        pieces += ["{ ( ", *stage, " )", " >&4" if last else "", " 3>&- 4>&-; ", f'echo "{number}:$?" >&3; }}']
        pieces.append(" " if last else " | ")
    pieces.append(f"}} 3>&1 ); [ $# -eq {len(stages)} ] || exit 1; {_LAST_FAILURE} )")
    return tuple(pieces)


_LAST_FAILURE = (
    "rank=0; status=0; for part; do "
    'if [ "${part#*:}" != 0 ] && [ "${part%:*}" -gt "$rank" ]; then rank=${part%:*}; status=${part#*:}; fi; '
    'done; exit "$status"'
)
