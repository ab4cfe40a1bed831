"""Commit ids and names of branches and tags: which texts are taken."""

from __future__ import annotations

import re

LONGEST = 255

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]")
_SPECIAL = frozenset({"@", "HEAD", "FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD"})


def is_full_id(text: str) -> bool:
    """Whether the text has the form of a full commit id: 40 (or 64) lower-case hex digits."""
    return _FULL_ID.fullmatch(text) is not None


def check_commit(text: str) -> str:
    """The text, a full commit id. Raises BadRevision that says what is wrong with it."""
    if is_full_id(text):
        return text
    raise BadRevision(f"{_shown(text)} is not a commit id: {_wrong_with_id(text)}")


def check_ref(name: str) -> str:
    """The name, fit for a branch or tag, as git's own rules have it. Raises BadRevision that says what is wrong."""
    if wrong := _wrong_with_name(name):
        raise BadRevision(f"{_shown(name)} cannot be the name of a branch or tag: {wrong}")
    return name


def wrong_length(text: str) -> str:
    """What to say of hex digits that name no branch or tag; empty when the text does not look like a commit id."""
    if len(text) >= 4 and _HEX.fullmatch(text):
        return _wrong_with_id(text)
    return ""


class BadRevision(ValueError):
    """The text can be neither a commit id nor the name of a branch or tag."""


def _wrong_with_id(text: str) -> str:
    if not _HEX.fullmatch(text):
        return "it is written with the digits 0-9 and a-f alone."
    if len(text) not in (40, 64):
        return f"a commit id has 40 digits, this has {len(text)}. Copy the full id."
    return "write it in lower case."


def _wrong_with_name(name: str) -> str:
    if not name:
        return "it is empty."
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST:
        return f"it is longer than {LONGEST} bytes."
    if found := _FORBIDDEN.search(name):
        return f"it holds {_character(found.group())}."
    return _wrong_with_form(name)


def _wrong_with_form(name: str) -> str:
    if name in _SPECIAL:
        return "git uses that word for itself."
    if name.startswith("-"):
        return "it begins with a dash."
    if any(sequence in name for sequence in ("..", "@{", "//")):
        return "it holds `..`, `@{` or `//`."
    if name.startswith("/") or name.endswith(("/", ".")):
        return "it begins with a slash, or ends with a slash or dot."
    if any(part.startswith(".") or part.endswith(".lock") for part in name.split("/")):
        return "a part of it begins with a dot or ends with `.lock`."
    if not name.isprintable():
        return "it holds a character that cannot be shown."
    return ""


def _character(found: str) -> str:
    if found == " ":
        return "a space"
    return f"the character `{found}`" if found.isprintable() else "a control character"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
