"""The thin strip under the top of every page: there only when an environment is left behind its maintenance screen."""

from __future__ import annotations

from typing import Any

from django import template
from django.http import HttpRequest

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import Rights
from deploynaut.web import overview

register = template.Library()


@register.inclusion_tag("web/_strip.html", takes_context=True)
def strip(context: dict[str, Any]) -> dict[str, Any]:
    """What is up right now, of what this person sees."""
    request = context.get("request")
    if not isinstance(request, HttpRequest) or not isinstance(getattr(request, "user", None), User):
        return {"stuck": []}
    return {"stuck": overview.stuck_for(Rights.of(request.user))}
