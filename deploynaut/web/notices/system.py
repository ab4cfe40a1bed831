"""Settings of the system: the mail server and the gateway for texts. What is secret goes in and never comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from deploynaut.accounts.clock import now
from deploynaut.accounts.fresh import fresh_login
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.notify import trials
from deploynaut.notify.models import Gateway, MailServer
from deploynaut.web import scope
from deploynaut.web.abilities import Ability
from deploynaut.web.fragments import problems, refuse_control, typed
from deploynaut.web.notices.trial import shown

MAIL = ("host", "port", "tls", "user", "sender")
STALE = "Nothing was done. Confirm that it is you, then enter it again: what is secret is not kept meanwhile."


@method_decorator([never_cache, sensitive_post_parameters("password", "url")], name="dispatch")
class System(View):
    """Mail server and gateway; each with a test message."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """As they are, without their secrets."""
        require(scope.person(request), Right.SYSTEM_SETTINGS)
        return self._page(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        """One act of the page; `act` says which."""
        user = scope.person(request)
        require(user, Right.SYSTEM_SETTINGS)
        if not fresh_login(request, now=now()):
            # Not the usual way round: that keeps what was posted in the session, a password with it.
            messages.error(request, STALE)
            return redirect(_confirm(request))
        act = _ACTS.get(request.POST.get("act", ""))
        if act is None:
            return HttpResponse("There is no such act.", status=HTTPStatus.BAD_REQUEST, content_type="text/plain")
        try:
            said = act(request, user)
        except ValidationError as error:
            return self._page(request, problems(error), status=400)
        except trials.AlreadyTrying:
            said = ""
        if said:
            messages.success(request, said)
        return redirect("system-settings")

    def _page(
        self, request: HttpRequest, wrong: Mapping[str, list[str]] | None = None, *, status: int = 200
    ) -> HttpResponse:
        user, server, gateway = scope.person(request), MailServer.objects.current(), Gateway.objects.current()
        fresh = fresh_login(request, now=now())
        stored = {name: getattr(server, name) for name in MAIL} if server else {"port": 587, "tls": "starttls"}
        typed_now = typed(request, MAIL) if request.method == "POST" and request.POST.get("act") == "mail" else None
        context = {
            "server": server,
            "gateway": gateway,
            "kept": settings.DEPLOYNAUT_DEMO,
            "values": typed_now or stored,
            "ways": MailServer.Tls.choices,
            "problems": wrong or {},
            "save": Ability("" if fresh else "Confirm first that it is you."),
            "confirm": "" if fresh else _confirm(request),
            "mail_trial": shown(trials.MAIL, user.pk, part="trial-mail"),
            "text_trial": shown(trials.TEXT, user.pk, part="trial-text"),
            "try_text": _try_text(user, gateway, fresh=fresh),
            "phone": user.phone,
        }
        return render(request, "web/notices/system.html", context, status=status)


def _try_text(user: User, gateway: Gateway | None, *, fresh: bool) -> Ability:
    if not fresh:
        return Ability("Confirm first that it is you.")
    if gateway is None:
        return Ability("No gateway is set up yet.")
    return Ability() if user.phone else Ability("Your account has no phone number yet.")


def _confirm(request: HttpRequest) -> str:
    return f"{reverse('account_reauthenticate')}?{urlencode({'next': reverse('system-settings')})}"


def _mail(request: HttpRequest, user: User) -> str:
    values = typed(request, MAIL)
    wrong = refuse_control(values)
    port = values.pop("port")
    if not (port.isascii() and port.isdigit() and len(port) < 6):
        wrong["port"] = ["A port is a number from 1 to 65535."]
    if wrong:
        raise ValidationError(wrong)
    password = request.POST.get("password", "")[:500]
    MailServer.objects.change(by=user, now=now(), password=password, port=int(port), **values)
    return "Saved. Send yourself a test message."


def _mail_remove(request: HttpRequest, user: User) -> str:
    MailServer.objects.forget(by=user, now=now())
    return "Removed. Mail goes by the settings of the installation again."


def _gateway(request: HttpRequest, user: User) -> str:
    Gateway.objects.change(url=request.POST.get("url", "")[:2000].strip(), by=user, now=now())
    return "Saved. Send yourself a test text."


def _gateway_remove(request: HttpRequest, user: User) -> str:
    Gateway.objects.forget(by=user, now=now())
    return "Removed. People are told by e-mail alone."


def _test_mail(request: HttpRequest, user: User) -> str:
    trials.try_mail(by=user, now=now())
    return ""


def _test_text(request: HttpRequest, user: User) -> str:
    trials.try_text(by=user, now=now())
    return ""


_ACTS: dict[str, Callable[[HttpRequest, User], str]] = {
    "mail": _mail,
    "mail-remove": _mail_remove,
    "gateway": _gateway,
    "gateway-remove": _gateway_remove,
    "test-mail": _test_mail,
    "test-text": _test_text,
}
