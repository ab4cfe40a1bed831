"""Windows of time that come again: iCalendar's rules (RRULE of RFC 5545) on the clock of one place.

A window begins at a time of the wall's clock, whatever that clock does in spring and autumn, and lasts hours that
really pass. Pure: what time it is comes in.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import rrule, rrulestr

LONGEST = timedelta(days=366)
MARGIN = timedelta(days=2)
"""More than any clock differs from UTC."""

_PARTS = {
    "FREQ": r"DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": r"[1-9][0-9]?",
    "COUNT": r"[1-9][0-9]{0,2}",
    "UNTIL": r"[0-9]{8}(?:T[0-9]{6})?",
    "BYDAY": r"(?:(?:-?[1-5])?(?:MO|TU|WE|TH|FR|SA|SU))(?:,(?:-?[1-5])?(?:MO|TU|WE|TH|FR|SA|SU)){0,6}",
    "BYMONTHDAY": r"-?[1-9][0-9]?(?:,-?[1-9][0-9]?){0,30}",
    "BYMONTH": r"[1-9][0-9]?(?:,[1-9][0-9]?){0,11}",
    "WKST": r"MO|SU",
}


class BadRule(ValueError):
    """The rule, time or zone cannot be read; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, aware, in UTC."""

    begins: datetime
    ends: datetime

    def covers(self, moment: datetime) -> bool:
        """The end itself is outside."""
        return self.begins <= moment < self.ends


@dataclass(frozen=True, slots=True)
class Recurrence:
    """`begins`: the first beginning, on the clock of `zone`, without a zone of its own. No `rule`: once."""

    begins: datetime
    lasts: timedelta
    zone: str
    rule: str = ""

    def __post_init__(self) -> None:
        zone_of(self.zone)
        check_length(self.lasts)
        if self.begins.tzinfo is not None:
            raise BadRule("A window begins at a time of the clock there, without an offset.")
        if not 2000 <= self.begins.year <= 2200:
            raise BadRule("A window begins between the years 2000 and 2200.")
        if self.rule:
            check_rule(self.rule)

    def at(self, moment: datetime) -> Span | None:
        """The window that covers this moment; of several that overlap, the one that ends last."""
        spans = [span for span in self._spans(moment - self.lasts - MARGIN, moment + MARGIN) if span.covers(moment)]
        return max(spans, key=lambda span: span.ends, default=None)

    def coming(self, moment: datetime, *, count: int) -> list[Span]:
        """The window of this moment and those to come, at most so many."""
        after = self._spans(moment - self.lasts - MARGIN, None)
        return list(islice((span for span in after if span.ends > moment), count))

    def _spans(self, after: datetime, before: datetime | None) -> Iterator[Span]:
        """The windows that begin between two moments, roughly: `MARGIN` takes care of the zone."""
        zone, last = zone_of(self.zone), before and _wall(before)
        for start in self._starts(_wall(after)):
            if last is not None and start > last:
                return
            begins = start.replace(tzinfo=zone).astimezone(UTC)
            yield Span(begins, begins + self.lasts)

    def _starts(self, after: datetime) -> Iterator[datetime]:
        if not self.rule:
            return iter([self.begins])
        return iter(_rule(self.rule, self._near(after)).xafter(after, inc=True))

    def _near(self, after: datetime) -> datetime:
        """A beginning shortly before, so that years of days and weeks are not gone through one by one."""
        parts = _parts(self.rule)
        unit = {"DAILY": timedelta(days=1), "WEEKLY": timedelta(days=7)}.get(parts["FREQ"])
        if unit is None or "COUNT" in parts or after <= self.begins:
            return self.begins
        step = unit * int(parts.get("INTERVAL", "1"))
        return self.begins + (after - self.begins) // step * step


def zone_of(name: str) -> ZoneInfo:
    """The zone of that name, such as Pacific/Auckland. Raises BadRule."""
    try:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", name):
            raise ValueError(name)
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise BadRule(f"{name[:60]!r} is no time zone. Write it as in Pacific/Auckland.") from None


def check_length(lasts: timedelta) -> None:
    """Raises BadRule for what is no length of a window."""
    if not timedelta(0) < lasts <= LONGEST:
        raise BadRule("A window lasts between one minute and 366 days.")


def check_rule(rule: str) -> None:
    """Raises BadRule for what is not a rule of days, weeks, months or years that comes again and again."""
    pairs = [_part(part) for part in rule.split(";")]
    for name, value in pairs:
        if name not in _PARTS:
            raise BadRule(f"{name[:30]!r} is not a part that a rule may have: {', '.join(_PARTS)}.")
        if not re.fullmatch(_PARTS[name], value):
            raise BadRule(f"{name}={value[:60]} cannot be read. Write it as in FREQ=WEEKLY;BYDAY=FR.")
    parts = dict(pairs)
    if pairs[0][0] != "FREQ" or len(parts) != len(pairs):
        raise BadRule("A rule begins with FREQ, and has each part once.")
    for wrong, words in _TOGETHER:
        if wrong(parts):
            raise BadRule(words)
    _try(rule)


def _never(parts: Mapping[str, str]) -> bool:
    """Days that none of the months has."""
    days = [abs(int(day)) for day in parts.get("BYMONTHDAY", "1").split(",")]
    months = [int(month) for month in parts.get("BYMONTH", "1").split(",")]
    return max(months) > 12 or min(days) > max(monthrange(2024, month)[1] for month in months)


def _nth(parts: Mapping[str, str]) -> bool:
    return any(letter.isdigit() for letter in parts.get("BYDAY", ""))


def _skips_past(parts: Mapping[str, str]) -> bool:
    """Every so often, and only on some days: the two may never meet, and looking for it would not end."""
    alone = not {"BYDAY", "BYMONTHDAY", "BYMONTH"} & set(parts)
    return "INTERVAL" in parts and parts["FREQ"] != "WEEKLY" and not (parts["FREQ"] == "DAILY" and alone)


_TOGETHER: tuple[tuple[Callable[[Mapping[str, str]], bool], str], ...] = (
    (lambda parts: {"COUNT", "UNTIL"} <= set(parts), "A rule ends by COUNT or by UNTIL, not by both."),
    (lambda parts: _nth(parts) and parts["FREQ"] in ("DAILY", "WEEKLY"), "1FR or -1FR is for months and years alone."),
    (lambda parts: _nth(parts) and "BYMONTHDAY" in parts, "1FR and BYMONTHDAY do not go together."),
    (lambda parts: parts["FREQ"] == "WEEKLY" and "BYMONTHDAY" in parts, "A week has no BYMONTHDAY."),
    (_skips_past, "INTERVAL is for weeks, and for days without further parts."),
    (_never, "None of these months has such a day."),
)


def _parts(rule: str) -> dict[str, str]:
    return dict(_part(part) for part in rule.split(";"))


def _part(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _try(rule: str) -> None:
    try:
        _rule(rule, datetime(2024, 1, 1))  # noqa: DTZ001 - a time of a clock on the wall
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise BadRule(f"The rule cannot be read: {error}.") from None


def _rule(rule: str, begins: datetime) -> rrule:
    found = rrulestr(rule, dtstart=begins)
    assert isinstance(found, rrule)
    return found


def _wall(moment: datetime) -> datetime:
    """A moment as a time without a zone, to compare roughly with times of a wall's clock."""
    return moment.astimezone(UTC).replace(tzinfo=None)
