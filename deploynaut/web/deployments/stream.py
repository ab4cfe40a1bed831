"""The live stream of a deployment's page."""

from __future__ import annotations

from importlib import import_module

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.template.loader import render_to_string

from deploynaut.accounts import sessions
from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import Rights
from deploynaut.deployments.models import Deployment
from deploynaut.web import scope
from deploynaut.web.deployments.facts import shown
from deploynaut.web.live import Draw, Watcher


async def live(request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponseBase:
    """The stream, from `Last-Event-ID` or `?after=` on."""
    if request.method != "GET":
        # HEAD too: an answer without a body has no use for a tail.
        return HttpResponse(status=405, headers={"Allow": "GET"})
    found = await sync_to_async(_visible)(request, instance, environment, number)
    after = _position(request.headers.get("Last-Event-ID") or request.GET.get("after", ""))
    watcher = Watcher(run=found.run_id, after=after, draw=_draw(request, found))
    answer = StreamingHttpResponse(watcher.events(), content_type="text/event-stream")
    answer["Cache-Control"] = "no-store"
    answer["X-Accel-Buffering"] = "no"
    return answer


def _visible(request: HttpRequest, instance: str, environment: str, number: int) -> Deployment:
    return scope.deployment(scope.rights_of(request), instance, environment, number)


def _position(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _draw(request: HttpRequest, deployment: Deployment) -> Draw:
    """The page's live part for this viewer; asks anew each time who they are and what they may see."""
    key = request.session.session_key
    token = get_token(request)

    def draw() -> str | None:
        user = _still(key)
        if user is None:
            return None
        rights = Rights.of(user)
        found = scope.deployments(rights).filter(pk=deployment.pk).first()
        if found is None:
            return None
        seen = shown(found, user, rights, now=now())
        return render_to_string("web/deployments/_live.html", {"shown": seen, "csrf_token": token})

    return draw


def _still(session_key: str | None) -> User | None:
    """Who is logged in by this session now; None when it has ended."""
    store = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    idle, absolute = settings.DEPLOYNAUT_SESSION_IDLE, settings.DEPLOYNAUT_SESSION_ABSOLUTE
    if sessions.is_over(store, idle=idle, absolute=absolute, now=now()):
        return None
    request = HttpRequest()
    request.session = store
    user = auth.get_user(request)
    return user if isinstance(user, User) else None
