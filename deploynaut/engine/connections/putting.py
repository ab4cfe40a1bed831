"""How a file is put on a host: under another name first, then renamed."""

from __future__ import annotations

import posixpath

from deploynaut.engine.connections.grammar import check_path
from deploynaut.engine.shell import Command, script

# noclobber opens with O_EXCL: a link that somebody planted under the other name is not written through.
_PUT = """set -e
umask 077
new="${1%/*}/.${1##*/}.deploynaut-new"
rm -f -- "$new"
set -C
cat >"$new"
chmod -- "$2" "$new"
mv -fT -- "$new" "$1" """


def put_command(path: str, *, base: str, mode: int) -> Command:
    """Writes its input to `path`, whole or not at all; relative paths are below `base`. Raises `BadAddress`."""
    return script(_PUT, check_path(posixpath.join(base, path)), f"{mode & 0o7777:04o}")


def put_timeout(content: bytes) -> float:
    """Seconds that putting may take: a minute, and what a slow line of 100 kB/s needs."""
    return 60 + len(content) / 100_000
