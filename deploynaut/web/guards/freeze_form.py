"""What was typed to add a freeze, as the fields of one; and a freeze in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.http import HttpRequest

from deploynaut.engine.pipeline.values import duration, written
from deploynaut.instances.models import Freeze
from deploynaut.instances.recurrence import BadRule, Span, zone_of

DAYS = {
    "MO": "Monday", "TU": "Tuesday", "WE": "Wednesday", "TH": "Thursday", "FR": "Friday", "SA": "Saturday",
    "SU": "Sunday",
}  # fmt: skip
FIELDS = ("reason", "zone", "begins", "repeats", "ends", "week_lasts", "rule", "rule_lasts", "scope")
SHOWN = 3
"""Windows to come that a list shows."""


def zones() -> list[str]:
    """The names of time zones that people look for."""
    return sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))


def fields(values: Mapping[str, str], days: list[str]) -> dict[str, Any]:
    """Of a new freeze. Raises ValidationError at the form's own field."""
    begins = values["begins"][:16]
    found: dict[str, Any] = {"reason": values["reason"], "zone": values["zone"], "begins": begins,
                                "scope": values["scope"]}  # fmt: skip
    match values["repeats"]:
        case "once":
            return {**found, "lasts": _until(values, begins), "rule": ""}
        case "weekly":
            rule = f"FREQ=WEEKLY;BYDAY={','.join(days)}" if days else "FREQ=WEEKLY"
            return {**found, "lasts": _lasts(values, "week_lasts"), "rule": rule}
        case "rule":
            rule = values["rule"].removeprefix("RRULE:")
            if not rule:
                raise ValidationError({"rule": "Write a rule, such as FREQ=WEEKLY;BYDAY=FR."})
            return {**found, "lasts": _lasts(values, "rule_lasts"), "rule": rule}
    raise ValidationError({"repeats": "Say whether it comes again."})


def days_of(request: HttpRequest) -> list[str]:
    """The days of the week that were ticked, in their order."""
    ticked = request.POST.getlist("days")
    return [day for day in DAYS if day in ticked]


def _lasts(values: Mapping[str, str], field: str) -> timedelta:
    try:
        return duration(values[field])
    except ValueError as error:
        raise ValidationError({field: f"{error}."}) from None


def _until(values: Mapping[str, str], begins: str) -> timedelta:
    """The time that passes between two times of the clock there."""
    try:
        zone = zone_of(values["zone"])
    except BadRule as error:
        raise ValidationError({"zone": str(error)}) from None
    moments = []
    for field, text in (("begins", begins), ("ends", values["ends"])):
        try:
            moments.append(datetime.fromisoformat(text).replace(tzinfo=zone))
        except ValueError:
            raise ValidationError({field: "Write a date and a time, as in 2026-07-03T15:00."}) from None
    # By the clocks of the world: subtracting two times of one zone would forget that the clock was changed between.
    lasts = timedelta(seconds=moments[1].timestamp() - moments[0].timestamp())
    if lasts <= timedelta(0):
        raise ValidationError({"ends": "It ends before it begins."})
    return lasts


@dataclass(frozen=True, slots=True)
class Window:
    """One window by the clock of its place."""

    begins: datetime
    ends: datetime
    now: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A freeze as a list shows it."""

    freeze: Freeze
    coming: tuple[Window, ...]

    @property
    def again(self) -> str:
        """When it comes again, in words where there are some, else the rule."""
        freeze = self.freeze
        rule = freeze.rule
        if not rule:
            return "Once"
        lasts = f", for {written(freeze.lasts)}"
        if rule == "FREQ=DAILY":
            return f"Every day{lasts}"
        name, _, days = rule.removeprefix("FREQ=WEEKLY").partition("=")
        if rule.startswith("FREQ=WEEKLY") and name in ("", ";BYDAY") and set(days.split(",")) <= {"", *DAYS}:
            first = datetime.fromisoformat(freeze.begins)
            words = [DAYS[day] for day in days.split(",")] if days else [f"{first:%A}"]
            return f"Every {', '.join(words)} at {first:%H:%M}{lasts}"
        return f"{rule}{lasts}"

    @property
    def now(self) -> bool:
        """It is in force."""
        return any(window.now for window in self.coming)


def shown(freeze: Freeze, *, now: datetime) -> Shown:
    """With the windows to come; none when the stored times cannot be read any more."""
    try:
        zone = zone_of(freeze.zone)
        spans: list[Span] = freeze.recurrence.coming(now, count=SHOWN)
    except (BadRule, ValueError):
        return Shown(freeze, ())
    found = (Window(one.begins.astimezone(zone), one.ends.astimezone(zone), one.covers(now)) for one in spans)
    return Shown(freeze, tuple(found))
