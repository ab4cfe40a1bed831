"""What a page answers when a change became a proposal."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from deploynaut.instances.models import Proposal

WORDS = (
    "Proposed. Nothing has changed yet: "
    "another Instance Manager, Deployment Manager or Administrator has to confirm it."
)


def proposed(request: HttpRequest, proposal: Proposal) -> HttpResponse:
    """To the proposal's page, with what happens next."""
    messages.success(request, WORDS)
    return redirect(proposal)
