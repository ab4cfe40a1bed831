"""Writes tar members, GNU form: names of any bytes and any length, read alike by every tar of a Linux host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from deploynaut.engine.repository import Kind

BLOCK = 512
END = bytes(2 * BLOCK)
"""What closes an archive."""

_TYPES = {Kind.FILE: b"0", Kind.LINK: b"2", Kind.DIRECTORY: b"5"}


def header(path: str, *, kind: Kind, mode: int, size: int = 0, target: str = "", mtime: int = 0) -> bytes:
    """All blocks that stand before a member's content. Owner is root; who unpacks owns the files."""
    name = path.encode("utf-8", "surrogateescape") + (b"/" if kind is Kind.DIRECTORY else b"")
    link = target.encode("utf-8", "surrogateescape")
    long = b"".join(_long(text, letter) for text, letter in ((link, b"K"), (name, b"L")) if len(text) > 100)
    return long + _block(name[:100], mode, size, mtime, _TYPES[kind], link[:100])


def padding(size: int) -> bytes:
    """What fills the last block of a content of `size` bytes."""
    return bytes(-size % BLOCK)


def headers(file: BinaryIO) -> Iterator[tuple[bytes, int, bool]]:
    """The headers of an archive that this module wrote, the file standing behind each: its content is the caller's.

    Gives all blocks before the content, the content's size, and whether it is a file. Ends at what is no header.
    """
    header = b""
    while len(block := file.read(BLOCK)) == BLOCK and block[257:263] == b"ustar ":
        header += block
        try:
            size = int(block[124:135], 8)
        except ValueError:
            return
        if block[156:157] in b"LK":
            header += file.read(size + -size % BLOCK)
            continue
        yield header, size, block[156:157] == _TYPES[Kind.FILE]
        header = b""


def _long(text: bytes, letter: bytes) -> bytes:
    content = text + b"\0"
    return _block(b"././@LongLink", 0o644, len(content), 0, letter, b"") + content + padding(len(content))


def _block(name: bytes, mode: int, size: int, mtime: int, kind: bytes, link: bytes) -> bytes:
    start = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, 0, 0, size, mtime)
    end = kind + link.ljust(100, b"\0") + b"ustar  \0" + b"root".ljust(32, b"\0") * 2
    total = sum(start) + sum(end) + 8 * 32
    return (start + b"%06o\0 " % total + end).ljust(BLOCK, b"\0")
