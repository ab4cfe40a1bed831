"""Messages of a template of the original: who else is told, and in which words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploynaut.engine.pipeline.import_report import Fate, Report
from deploynaut.engine.pipeline.parts import MOST_TOLD, Told
from deploynaut.engine.pipeline.reading import clean
from deploynaut.engine.pipeline.values import PLACEHOLDERS, addressee

Path = tuple[Any, ...]

OF_PIPELINE: Mapping[str, tuple[Told, ...]] = {
    "Success": (Told.SUCCEEDED,),
    "Failure": (Told.FAILED, Told.EXPIRED),
    "Abort": (Told.ABORTED,),
    "RollbackStarted": (Told.ROLLBACK_BEGUN,),
    "RollbackSuccess": (Told.ROLLED_BACK,),
    "RollbackFailure": (Told.ROLLBACK_FAILED,),
}
OF_APPROVAL: Mapping[str, tuple[Told, ...]] = {
    "Request": (Told.APPROVAL_ASKED,),
    "Approve": (Told.APPROVED,),
    "Reject": (Told.REJECTED,),
    "TimeOut": (Told.EXPIRED,),
}
# Who reads the one text that we have: those asked read the request, the initiator reads the answers.
_READERS = {"Request": "Recipient", "Approve": "Requester", "Reject": "Requester", "TimeOut": "Requester"}
_GATES = frozenset({Told.APPROVAL_ASKED, Told.APPROVED, Told.REJECTED, Told.EXPIRED, Told.WINDOW_OPEN})


@dataclass(slots=True)
class Texts:
    """What has been found: addressees and words, by what they tell."""

    production: bool
    notify: dict[Told, list[str]] = field(default_factory=dict)
    words: dict[Told, dict[str, str]] = field(default_factory=dict)

    def told(self, event: str) -> tuple[Told, ...]:
        """What we tell where the original told `event`."""
        found = OF_PIPELINE.get(event) or OF_APPROVAL.get(event) or ()
        if event == "Success" and self.production:
            found = (Told.WINDOW_OPEN, *found)
        return tuple(one for one in found if self.production or one not in _GATES)

    def take(self, holder: Mapping[str, Any], path: Path, report: Report, *, approval: bool = False) -> None:
        """`Messages` and `Subjects` below `path`."""
        known = OF_APPROVAL if approval else OF_PIPELINE
        for key, part in (("Messages", "body"), ("Subjects", "subject")):
            found = holder.get(key)
            if key in holder and not isinstance(found, dict):
                report.add(Fate.DROPPED, (*path, key), "it should be a list of keys")
            for event, words in (found or {}).items() if isinstance(found, dict) else ():
                self._one(event, words, part, known, (*path, key, event), found, report)

    def _one(
        self, event: str, words: Any, part: str, known: Mapping[str, Any], path: Path, others: Any, report: Report
    ) -> None:
        base, _, reader = event.partition("-")
        if base == "Cancel":
            report.add(Fate.DROPPED, path, "the original never sends it")
        elif base not in known or not isinstance(words, str) or not words.strip():
            report.add(Fate.NOTHING_LIKE_IT, path, "no such message, or no text")
        elif not self.told(base):
            report.add(Fate.DROPPED, path, "it belongs to a step of production environments")
        elif self._another_is_read(base, reader, others):
            report.add(Fate.DROPPED, path, f"one text for everybody: that of `{base}-{_READERS[base]}` is taken")
        else:
            self._say(base, words, part, path, report)

    def _another_is_read(self, base: str, reader: str, others: Any) -> bool:
        wanted = _READERS.get(base)
        return wanted is not None and reader != wanted and f"{base}-{wanted}" in others

    def _say(self, event: str, words: str, part: str, path: Path, report: Report) -> None:
        text, unknown = placeholders_of_ours(clean(words).strip())
        if part == "subject":
            text = " ".join(text.split())[:200]
        text = text[:20_000]
        for one in self.told(event):
            self.words.setdefault(one, {}).setdefault(part, text)
        keys = ", ".join(f"messages.{one}.{part}" for one in self.told(event))
        if unknown:
            report.add(Fate.LOOK, path, f"{keys}; nothing fills {', '.join(unknown)}, written without brackets")
        else:
            report.add(Fate.TRANSLATED, path, keys)


def take_recipients(found: Any, path: Path, texts: Texts, report: Report) -> None:
    """`PipelineConfig.Recipients`."""
    if found is None:
        return
    if not isinstance(found, dict):
        report.add(Fate.DROPPED, path, "it should name messages, with people below each")
        return
    for event, people in found.items():
        if event not in OF_PIPELINE:
            report.add(Fate.NOTHING_LIKE_IT, (*path, event), "there is no such message")
            continue
        wanted = [one for one in (_addressee(name, (*path, event), report) for name in names(people)) if one]
        for told in texts.told(event) if wanted else ():
            both = dict.fromkeys([*texts.notify.get(told, []), *wanted])
            texts.notify[told] = list(both)[:MOST_TOLD]
        if len(wanted) > MOST_TOLD:
            report.add(Fate.DROPPED, (*path, event), f"{MOST_TOLD} are the most: those after them are left out")
        if wanted:
            keys = ", ".join(f"notify.{told}" for told in texts.told(event))
            report.add(Fate.TRANSLATED, (*path, event), keys)


def names(people: Any) -> Iterator[str]:
    """Who is named: the original takes a text with commas, a list, or lists in lists."""
    if isinstance(people, list):
        for one in people:
            yield from names(one)
    elif people is not None and not isinstance(people, dict):
        yield from (clean(part).strip() for part in str(people).split(",") if part.strip())


def _addressee(name: str, path: Path, report: Report) -> str:
    try:
        return addressee(name)
    except ValueError as error:
        report.add(Fate.DROPPED, path, str(error).partition(";")[0])
        return ""


def placeholders_of_ours(text: str) -> tuple[str, list[str]]:
    """The text with no placeholder that nothing fills, and those that were in it."""
    unknown = [name for name in re.findall(r"<([a-z][a-z-]{1,30})>", text) if name not in PLACEHOLDERS]
    for name in unknown:
        text = text.replace(f"<{name}>", name)
    return text, [f"<{name}>" for name in dict.fromkeys(unknown)]


def plain_words(markup: str) -> str:
    """HTML without its tags. Templates escape what comes of it: this is for reading, not for safety."""
    return clean(re.sub(r"<[^<>]{0,500}>", " ", markup))
