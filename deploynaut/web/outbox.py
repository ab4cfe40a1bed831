"""The messages that were sent, on a page: for the demo alone, where no mail server is."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from deploynaut.accounts.roles import Right
from deploynaut.notify.models import Message
from deploynaut.web import scope
from deploynaut.web.fragments import page


@require_safe
def messages(request: HttpRequest) -> HttpResponse:
    """Newest first, of the environments this person sees."""
    if not settings.DEPLOYNAUT_DEMO:
        raise Http404
    rights = scope.rights_of(request)
    prefix = "run__deployment__environment"
    mine = rights.environments(Right.SEE, instance=f"{prefix}__instance_id", environment=f"{prefix}_id")
    found = Message.objects.filter(mine).select_related("user", f"{prefix}__instance").order_by("-id")
    return render(request, "web/messages.html", {"page": page(request, found)})
