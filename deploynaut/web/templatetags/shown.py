"""How values are shown: times, sizes, durations, icons, looks. All output is escaped by the template or built here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from deploynaut.accounts.clock import now
from deploynaut.web import looks

register = template.Library()

# Strokes of a 24 px field; drawn for this product, so that a page needs no second request for its states.
_ICONS = {
    "check": '<circle cx="12" cy="12" r="9"/><path d="m8.500 12.200 2.500 2.500 4.700-5.200"/>',
    "cross": '<circle cx="12" cy="12" r="9"/><path d="m9 9 6 6m0-6-6 6"/>',
    "alert": '<path d="M12 3.500 2.800 19.500h18.400z"/><path d="M12 10v4m0 2.800v.2"/>',
    "play": '<path d="M8 5.500v13l10.500-6.500z"/>',
    "pause": '<circle cx="12" cy="12" r="9"/><path d="M10 9v6m4-6v6"/>',
    "clock": '<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3 2"/>',
    "undo": '<path d="M8 4.500 4 8.500l4 4"/><path d="M4.500 8.500H14a5.500 5.500 0 0 1 0 11H8"/>',
    "stop": '<rect x="5.500" y="5.500" width="13" height="13" rx="2"/>',
    "skip": '<path d="M6 12h12"/>',
    "dot": '<circle cx="12" cy="12" r="3.500"/>',
    "branch": '<circle cx="7" cy="6" r="2"/><circle cx="7" cy="18" r="2"/><circle cx="17" cy="9" r="2"/>'
    '<path d="M7 8v8m10-5c0 3.500-4 4-7.500 4.500"/>',
    "tag": '<path d="M4 4.500h7.500l8.500 8.500-7 7-8.500-8.500z"/><circle cx="8.300" cy="8.800" r="1"/>',
    "commit": '<circle cx="12" cy="12" r="3.500"/><path d="M3 12h5.500m7 0H21"/>',
    "copy": '<rect x="8.500" y="8.500" width="11" height="11" rx="2"/><path d="M15.500 5.500v-1h-11v11h1"/>',
    "link": '<path d="M13 5h6v6m0-6-9 9"/><path d="M17 14v5H5V7h5"/>',
    "key": '<circle cx="8" cy="15" r="4"/><path d="m11 12 8-8m-3 3 3 3"/>',
    "log": '<path d="M5 6h14M5 10.500h14M5 15h9M5 19.500h6"/>',
    "fetch": '<path d="M20 11a8 8 0 1 0-1.500 6M20 5v6h-6"/>',
    "lock": '<rect x="5.500" y="11" width="13" height="9" rx="2"/><path d="M8.500 11V8a3.500 3.500 0 0 1 7 0v3"/>',
    "menu": '<circle cx="12" cy="8" r="3.500"/><path d="M5 20c.8-3.500 3.500-5 7-5s6.200 1.500 7 5"/>',
    "chevron": '<path d="m9 6 6 6-6 6"/>',
}


@register.simple_tag
def icon(name: str, words: str = "") -> SafeString:
    """An icon; with `words` it is read aloud, without it is decoration."""
    shape = mark_safe(_ICONS[name])  # noqa: S308 - our own table
    hidden = format_html('role="img" aria-label="{}"', words) if words else mark_safe('aria-hidden="true"')
    return format_html('<svg class="icon" viewBox="0 0 24 24" {}>{}</svg>', hidden, shape)


@register.filter
def look(status: str) -> looks.Look:
    """The look of a run's status."""
    return looks.of_status(status)


@register.filter
def step_label(step: Any) -> str:
    """What people call a step row."""
    return looks.label(step.kind, back=step.back)


@register.filter
def purpose(kind: str) -> str:
    """What a step does, in a line."""
    return looks.PURPOSES.get(kind, "")


@register.filter
def short(commit: str) -> str:
    """The first seven digits of a commit id."""
    return commit[:7]


@register.simple_tag
def when(moment: datetime | None) -> SafeString:
    """A time, relative; the exact one on hover and for programs. "never" for None."""
    if moment is None:
        return mark_safe("never")
    exact = f"{moment:%-d %B %Y, %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, ago(moment, now()))


@register.filter
def age(moment: datetime) -> str:
    """A time, relative, as plain text: for options of a list."""
    return ago(moment, now())


@register.simple_tag
def took(begun: datetime, ended: datetime) -> str:
    """The time between two moments."""
    return duration(ended - begun)


def ago(moment: datetime, today: datetime) -> str:
    """`4 s ago`, `12 min ago`, `3 h ago`, `5 days ago`, then the date."""
    seconds = int((today - moment).total_seconds())
    if seconds < 0:
        return f"in {span(-seconds)}"
    if seconds < 5:
        return "just now"
    if seconds < 60 * 86400:
        return f"{span(seconds)} ago"
    return f"{moment:%-d %b %Y}"


def span(seconds: int) -> str:
    """A length of time in its one leading unit."""
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return f"{seconds} s"


@register.filter
def duration(value: timedelta | float | None) -> str:
    """`9 s`, `2 min 05 s`, `1 h 12 min`; empty for None."""
    if value is None:
        return ""
    seconds = int(value.total_seconds() if isinstance(value, timedelta) else value)
    if seconds < 60:
        return f"{seconds} s" if seconds else "under 1 s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


@register.filter
def timeleft(until: datetime, today: datetime) -> str:
    """The time from now until then; under a second when it has come."""
    return duration(max(0.0, (until - today).total_seconds()))


@register.filter
def size(count: int | None) -> str:
    """Bytes as people read them: `214 MB`."""
    amount = float(count or 0)
    for unit in ("bytes", "KB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if amount >= 10 or unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


@register.filter
def headline(text: str) -> str:
    """The first line of a message that has several."""
    return text.strip().partition("\n")[0]


@register.filter
def safe_link(address: str) -> str:
    """The address when it is http or https, else nothing: a stored text never becomes a script."""
    return address if address.startswith(("http://", "https://")) else ""


@register.filter
def place(address: str) -> str:
    """An address without its scheme and closing slash, as it is said aloud."""
    return address.partition("://")[2].rstrip("/") or address
