"""Pages for what went wrong. They show no trace, no path, no query: an incident number finds the entry in the log."""

from __future__ import annotations

import logging
import secrets

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)

SORRY = (
    "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Internal error</title>"
    "<h1>Internal error</h1><p>Incident %s. Give this number to whoever runs Deploynaut.</p></html>"
)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400."""
    return _page(request, 400, "This request cannot be understood", "Go back and try again with other words.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403."""
    return _page(request, 403, "Not allowed", "You may not do this. Nothing was changed.")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404; also for what this person may not see."""
    words = (
        "There is nothing at this address, or it is not for you to see. Check the spelling, or ask who sent you here."
    )
    return _page(request, 404, "Not found", words)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form that did not come from our own page."""
    logger.warning("a form was refused: %s", reason)
    words = "The form came from another page or is too old. Open the page again and repeat it. Nothing was changed."
    return _page(request, 403, "This form was not accepted", words)


def server_error(request: HttpRequest) -> HttpResponse:
    """500: an incident number for the person, the same number and the trace in the server's log."""
    incident = secrets.token_hex(4)
    logger.error("incident %s: %s %s", incident, request.method, request.path, exc_info=True)
    try:
        words = "Something went wrong inside Deploynaut. What had begun goes on; look at its page before you repeat it."
        return _page(request, 500, "Internal error", words, incident=incident)
    except Exception:
        logger.exception("incident %s: its page could not be drawn either", incident)
        return HttpResponse(SORRY % incident, status=500)


def _page(request: HttpRequest, status: int, title: str, words: str, *, incident: str = "") -> HttpResponse:
    """Drawn without the request: nothing that may have broken is asked again."""
    context = {"status": status, "title": title, "words": words, "incident": incident}
    return HttpResponse(render_to_string("web/error.html", context), status=status)
