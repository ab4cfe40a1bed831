"""My messages: my phone, proven by a code, and what I am told by which channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import PhoneCode, User
from deploynaut.accounts.phones import PhoneRefused, change_phone
from deploynaut.notify import ready, trials
from deploynaut.notify.models import Unwanted
from deploynaut.notify.preferences import CHANNELS, EVENTS, Event, may_be_off
from deploynaut.web import scope
from deploynaut.web.abilities import Ability
from deploynaut.web.fragments import problems
from deploynaut.web.notices.trial import shown

WORDS = {"email": "E-mail", "text": "Text"}


@dataclass(frozen=True, slots=True)
class Box:
    """One channel of one event. `fixed`: it cannot be switched off."""

    name: str
    channel: str
    on: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One event."""

    event: Event
    boxes: tuple[Box, ...]
    why: str


@method_decorator([never_cache, sensitive_post_parameters("code")], name="dispatch")
class Preferences(View):
    """One page, four acts: number, send a code, type it, choose."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """As it is. A page that waits for the code asks for its part again, and looks at everything once it is sent."""
        answer = self._page(request)
        if "HX-Request" in request.headers and not _sending(scope.person(request)):
            answer["HX-Refresh"] = "true"
        return answer

    def post(self, request: HttpRequest) -> HttpResponse:
        """One of the acts; `act` says which."""
        user = scope.person(request)
        try:
            said = self._do(request, user)
        except ValidationError as error:
            return self._page(request, problems(error), status=400)
        except PhoneRefused as refused:
            field = "code" if request.POST.get("act") == "verify" else "send"
            return self._page(request, {field: [str(refused)]}, status=409 if field == "send" else 400)
        except trials.AlreadyTrying:
            said = ""
        if said:
            messages.success(request, said)
        return redirect("preferences")

    def _do(self, request: HttpRequest, user: User) -> str:
        match request.POST.get("act", ""):
            case "phone":
                change_phone(user, request.POST.get("phone", "")[:50].strip(), now=now())
                return "Saved. Texts go there once it is verified." if user.phone else "Saved. You get no texts."
            case "send":
                trials.send_code(to=user, now=now())
                return ""
            case "verify":
                PhoneCode.objects.verify(user, request.POST.get("code", "")[:20], now=now())
                return "Your phone is verified. Texts go there from now on."
            case "choose":
                wanted = (value.partition(":") for value in request.POST.getlist("wanted")[:200])
                Unwanted.objects.choose(user, {(event, channel) for channel, _, event in wanted}, now=now())
                return "Saved."
            case _:
                raise ValidationError("There is no such act.")

    def _page(
        self, request: HttpRequest, wrong: Mapping[str, list[str]] | None = None, *, status: int = 200
    ) -> HttpResponse:
        # Asked for again: a refused change has been written into the object.
        user = User.objects.get(pk=scope.person(request).pk)
        context = {
            "phone": request.POST.get("phone", user.phone)[:50],
            "stored": user.phone,
            "verified": bool(user.verified_phone),
            "code": PhoneCode.objects.open(user, now=now()) if user.phone and not user.verified_phone else None,
            "send": _send(user),
            "trial": shown(trials.CODE, user.pk, part="trial-code"),
            "rows": rows(user),
            "channels": [WORDS[channel] for channel in CHANNELS],
            "problems": wrong or {},
        }
        return render(request, "web/notices/preferences.html", context, status=status)


def _sending(user: User) -> bool:
    return shown(trials.CODE, user.pk, part="").busy


def _send(user: User) -> Ability:
    if not ready():
        return Ability("No gateway for texts is set up yet. An Administrator does that under System.")
    try:
        PhoneCode.objects.refuse_too_many(user, now=now())
    except PhoneRefused as refused:
        return Ability(str(refused))
    return Ability()


def rows(user: User) -> list[Row]:
    """What this person is told."""
    off = Unwanted.objects.of(user)
    return [
        Row(event, tuple(_box(event.name, channel, off) for channel in CHANNELS), event.why)
        for event in EVENTS.values()
    ]


def _box(event: str, channel: str, off: set[tuple[str, str]]) -> Box:
    fixed = not may_be_off(event, channel)
    return Box(f"{channel}:{event}", WORDS[channel], on=fixed or (event, channel) not in off, fixed=fixed)
