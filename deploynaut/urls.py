"""Which door answers which address."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("deploynaut.accounts.urls")),
    path("", include("deploynaut.web.urls")),
]

handler400 = "deploynaut.web.errors.bad_request"
handler403 = "deploynaut.web.errors.forbidden"
handler404 = "deploynaut.web.errors.not_found"
handler500 = "deploynaut.web.errors.server_error"
