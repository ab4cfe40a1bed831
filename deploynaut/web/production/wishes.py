"""What somebody asks for on the choosing page beside the revision: planned time, override, break glass, instead of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest

from deploynaut.accounts.reasons import reason_of
from deploynaut.deployments.beginning import BREAK_GLASS_REASON
from deploynaut.deployments.models import Deployment
from deploynaut.instances.models import Environment
from deploynaut.web.production.acts import require_fresh

FIELDS = ("scheduled_for", "override", "break_glass")


def wish_of(request: HttpRequest, environment: Environment) -> dict[str, Any]:
    """The rest of the form, as `begin` takes it. Break glass asks for a fresh log-in, after its reason was read.

    Raises ValidationError (`scheduled_for`, `override`, `break_glass`), ReauthenticationRequired.
    """
    act = request.POST.get("act", "")
    return {
        "scheduled_for": _moment(request.POST.get("scheduled_for", "").strip()),
        "override": _reason(request, "override"),
        "break_glass": _glass(request) if act == "break-glass" else "",
        "instead_of": _instead(request, environment) if act == "instead" else None,
    }


def _moment(text: str) -> datetime | None:
    """As the browser sends it, in UTC."""
    if not text:
        return None
    try:
        found = datetime.strptime(text[:16], "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
    except ValueError:
        words = "Write the time as 2026-07-01T18:30, in UTC."
        raise ValidationError({"scheduled_for": words}) from None
    return found


def _reason(request: HttpRequest, field: str) -> str:
    text = request.POST.get(field, "")
    return reason_of(text, field=field) if text.strip() else ""


def _glass(request: HttpRequest) -> str:
    reason = reason_of(request.POST.get("break_glass", ""), least=BREAK_GLASS_REASON, field="break_glass")
    require_fresh(request)
    return reason


def _instead(request: HttpRequest, environment: Environment) -> Deployment | None:
    """The open deployment, when it still is the one that the form names."""
    other = Deployment.objects.open_on(environment)
    return other if other is not None and request.POST.get("instead") == str(other.number) else None
