"""The addresses of this part: proposals, freezes, locks."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from deploynaut.web.guards import freezes, locks, proposals

_ONE = "instances/<name:instance>/-"
_PROPOSAL = f"{_ONE}/proposals/<number:pk>"
_LOCKS = "instances/<name:instance>/<name:environment>/locks"

PATTERNS: list[URLPattern | URLResolver] = [
    path(f"{_ONE}/proposals/", proposals.proposals, name="proposals"),
    path(f"{_PROPOSAL}/", proposals.proposal, name="proposal"),
    path(f"{_PROPOSAL}/confirm/", proposals.confirm, name="proposal-confirm"),
    path(f"{_PROPOSAL}/refuse/", proposals.refuse, name="proposal-refuse"),
    path(f"{_PROPOSAL}/withdraw/", proposals.withdraw, name="proposal-withdraw"),
    path(f"{_ONE}/freezes/", freezes.Freezes.as_view(), name="freezes"),
    path(f"{_ONE}/freezes/<number:pk>/remove/", freezes.remove, name="freeze-remove"),
    path(f"{_LOCKS}/", locks.Locks.as_view(), name="locks"),
    path(f"{_LOCKS}/<number:pk>/lift/", locks.lift, name="lock-lift"),
]
