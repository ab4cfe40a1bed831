"""The chats of an instance: add, test, remove. An address goes in and never comes out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from deploynaut.accounts.clock import now
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.instances.models import Instance
from deploynaut.notify import trials
from deploynaut.notify.models import Chat
from deploynaut.web import abilities, scope
from deploynaut.web.fragments import problems
from deploynaut.web.notices.trial import shown


@method_decorator([never_cache, sensitive_post_parameters("url")], name="dispatch")
class Chats(View):
    """All of them, and the form for a further one."""

    def get(self, request: HttpRequest, instance: str) -> HttpResponse:
        """As they are; for whoever sees the instance."""
        return self._page(request, scope.instance(scope.rights_of(request), instance))

    def post(self, request: HttpRequest, instance: str) -> HttpResponse:
        """Add one."""
        found = scope.instance(scope.rights_of(request), instance)
        name, url = request.POST.get("name", "")[:200].strip(), request.POST.get("url", "")[:2000].strip()
        try:
            Chat.objects.add(instance=found, name=name, url=url, by=scope.person(request), now=now())
        except ValidationError as error:
            return self._page(request, found, problems(error), status=400)
        messages.success(request, f"{name} is told from now on. Send it a test.")
        return redirect("instance-messages", found.name)

    def _page(
        self,
        request: HttpRequest,
        instance: Instance,
        wrong: Mapping[str, list[str]] | None = None,
        *,
        status: int = 200,
    ) -> HttpResponse:
        chats = Chat.objects.of(instance.pk)
        context = {
            "instance": instance,
            "rows": [(chat, shown(trials.CHAT, chat.pk, part=f"trial-{chat.pk}")) for chat in chats],
            "edit": abilities.add_environment(scope.person(request), scope.rights_of(request), instance),
            "problems": wrong or {},
            "name": request.POST.get("name", "")[:200],
        }
        return render(request, "web/notices/chats.html", context, status=status)


def _chat(request: HttpRequest, instance: str, pk: int) -> Chat:
    """One that this person sees and may change. Raises Http404, NotAllowed."""
    found = scope.instance(scope.rights_of(request), instance)
    require(scope.person(request), Right.EDIT_ENVIRONMENT, instance=found.pk, place=found.name)
    chat = Chat.objects.of(found.pk).select_related("instance").filter(pk=pk).first()
    if chat is None:
        raise Http404
    return chat


@require_POST
def test(request: HttpRequest, instance: str, pk: int) -> HttpResponse:
    """Send a test; the page shows what the server answers."""
    chat = _chat(request, instance, pk)
    with suppress(trials.AlreadyTrying):
        trials.try_chat(chat, by=scope.person(request), now=now())
    return redirect("instance-messages", chat.instance.name)


@require_POST
def remove(request: HttpRequest, instance: str, pk: int) -> HttpResponse:
    """Tell it nothing more."""
    chat = _chat(request, instance, pk)
    Chat.objects.remove(chat, by=scope.person(request), now=now())
    messages.success(request, f"{chat.name} is told nothing more; its address is forgotten.")
    return redirect("instance-messages", chat.instance.name)
