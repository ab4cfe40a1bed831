"""The audit trail on a page: all of it for Administrators, for others what was done to the instances they see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from deploynaut.accounts import audit
from deploynaut.accounts.clock import now
from deploynaut.accounts.models import AuditEntry, User
from deploynaut.accounts.rights import UserRights
from deploynaut.accounts.roles import Right
from deploynaut.web import scope
from deploynaut.web.fragments import page
from deploynaut.web.people.sheet import as_csv

FIELDS = ("who", "what", "on", "since", "until", "result")
LONGEST = 200
MOST = 50_000
"""Rows of one export; the dates reach the older ones."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What was asked for: words of who, what and on what; the days, both included."""

    who: str = ""
    what: str = ""
    on: str = ""
    since: str = ""
    until: str = ""
    result: str = ""

    @classmethod
    def of(cls, asked: QueryDict) -> Filter:
        """As typed; what is no date is kept for the field and counts for nothing."""
        return cls(**{name: asked.get(name, "")[:LONGEST].strip() for name in FIELDS})

    @property
    def wrong(self) -> dict[str, list[str]]:
        """The dates that are none."""
        words = ["Write the day as in 2026-07-31."]
        return {name: words for name in ("since", "until") if getattr(self, name) and _day(getattr(self, name)) is None}

    @property
    def query(self) -> str:
        """For the links to other pages of the same list."""
        kept = QueryDict(mutable=True)
        kept.update({name: getattr(self, name) for name in FIELDS if getattr(self, name)})
        return f"{kept.urlencode()}&" if kept else ""

    def apply(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """The entries that fit."""
        for words, field in ((self.who, "actor_name"), (self.what, "action"), (self.on, "subject_text")):
            if words:
                entries = entries.filter(**{f"{field}__icontains": words})
        since, until = _day(self.since), _day(self.until)
        if since is not None:
            entries = entries.filter(at__gte=since)
        if until is not None:
            entries = entries.filter(at__lt=until + timedelta(days=1))
        return entries.filter(result=self.result) if self.result in audit.Result.values else entries


def _day(text: str) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC) if text else None
    except ValueError:
        return None


@require_safe
def trail(request: HttpRequest) -> HttpResponse:
    """The newest first, in pages."""
    rights, asked = scope.rights_of(request), Filter.of(request.GET)
    entries = asked.apply(visible(rights)).select_related("actor")
    context = {
        "page": page(request, entries, size=50),
        "asked": asked,
        "problems": asked.wrong,
        "everything": _all(rights),
        "most": MOST,
    }
    return render(request, "web/people/audit.html", context)


@require_POST
def export(request: HttpRequest) -> HttpResponse:
    """The same list as a CSV file. That somebody took it away is written down: so it is a form, not a link."""
    rights, asked, by = scope.rights_of(request), Filter.of(request.POST), scope.person(request)
    entries = asked.apply(visible(rights)).order_by("-at", "-pk")[:MOST]
    answer = HttpResponse(as_csv(entries, addresses=_all(rights)), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="audit.csv"'
    answer["Cache-Control"] = "no-store"
    _written_down(by, asked)
    return answer


def _written_down(by: User, asked: Filter) -> None:
    after = {name: getattr(asked, name) for name in FIELDS if getattr(asked, name)}
    audit.record("audit trail exported", actor=by, subject=audit.Subject("system"), now=now(), after=after)


def visible(rights: UserRights) -> QuerySet[AuditEntry]:
    """The entries that this person may read."""
    if _all(rights):
        return AuditEntry.objects.all()
    instances = list(scope.instances(rights).values_list("pk", flat=True))
    environments = list(scope.environments(rights).values_list("pk", flat=True))
    about = Q(subject_kind="instance", subject_id__in=instances)
    about |= Q(subject_kind="environment", subject_id__in=environments)
    about |= Q(subject_kind="deployment", subject_id__in=scope.deployments(rights).order_by().values("pk"))
    for values in ("before", "after"):
        place = Q(**{f"{values}__environment": None}) | Q(**{f"{values}__environment__in": environments})
        about |= Q(place, subject_kind="user", **{f"{values}__instance__in": instances})
    return AuditEntry.objects.filter(about)


def _all(rights: UserRights) -> bool:
    return rights.may(Right.EDIT_USERS)
