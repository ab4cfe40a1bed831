"""What every request passes: the end of old sessions, the log-in, where an act came from, and refusals in words."""

from __future__ import annotations

from http import HTTPStatus

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render, resolve_url
from django.urls import Resolver404, resolve
from django.utils.deprecation import MiddlewareMixin

from deploynaut.accounts import audit, sessions
from deploynaut.accounts.clock import now
from deploynaut.accounts.rights import NotAllowed

OPEN_TO_ALL = frozenset(
    {
        "account_login",
        "account_logout",
        "mfa_authenticate",
        "mfa_login_webauthn",
        "first_administrator",
        "password_link",
        "health",
        "pipeline-schema",
    }
)
"""The names of the only addresses that answer without a log-in. Static files are served before this."""

EVENTS = "text/event-stream"


class SessionLimits(MiddlewareMixin):
    """Logs a person out who was idle too long, or logged in too long ago. After AuthenticationMiddleware."""

    def process_request(self, request: HttpRequest) -> None:
        """End the session, or note that it is used. A live stream that reconnects by itself is no use."""
        if not request.user.is_authenticated:
            return
        idle, absolute = settings.DEPLOYNAUT_SESSION_IDLE, settings.DEPLOYNAUT_SESSION_ABSOLUTE
        moment = now()
        if sessions.is_over(request.session, idle=idle, absolute=absolute, now=moment):
            logout(request)
        elif EVENTS not in request.headers.get("Accept", ""):
            sessions.touch(request.session, now=moment)


class LoginRequired(MiddlewareMixin):
    """Sends who is not logged in to the log-in, whatever they asked for, there or not. After SessionLimits."""

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        """Let it pass, or answer with the way to the log-in."""
        if request.user.is_authenticated or _is_open(request.path_info):
            return None
        if EVENTS in request.headers.get("Accept", ""):
            return HttpResponse("Log in first.", status=HTTPStatus.UNAUTHORIZED, content_type="text/plain")
        if "HX-Request" in request.headers:
            login = resolve_url(settings.LOGIN_URL)
            return HttpResponse(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": login})
        back = request.get_full_path() if request.method == "GET" else "/"
        return redirect_to_login(back, resolve_url(settings.LOGIN_URL))


def _is_open(path: str) -> bool:
    try:
        return resolve(path).view_name in OPEN_TO_ALL
    except Resolver404:
        return False


class AuditTrail(MiddlewareMixin):
    """Says where acts come from, and writes down refusals, which it answers in words. After AccountMiddleware."""

    def process_request(self, request: HttpRequest) -> None:
        """Whatever this request does came from its address."""
        audit.set_origin(_address(request))

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """What this thread does next came from somewhere else."""
        audit.set_origin(None)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """A refusal: a row in the trail, and words; "not found" for what this person may not even see."""
        if not isinstance(exception, NotAllowed):
            return None
        audit.record_denial(exception, now=now())
        if exception.hidden:
            raise Http404 from exception
        context = {"words": str(exception)}
        return render(request, "accounts/not_allowed.html", context, status=HTTPStatus.FORBIDDEN)


def _address(request: HttpRequest) -> str | None:
    try:
        return str(get_adapter().get_client_ip(request))
    except PermissionDenied:  # allauth's answer to a request without an address, as through a socket file
        return None
