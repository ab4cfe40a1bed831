"""Which door answers which address."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("deploynaut.accounts.urls")),
    path("", include("deploynaut.web.urls")),
]
