"""The addresses of this part."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from deploynaut.web.production import acts
from deploynaut.web.production.approval import Approval
from deploynaut.web.production.extend import Extend
from deploynaut.web.production.lift import Lift
from deploynaut.web.production.resolve import Resolve, maintenance
from deploynaut.web.production.rollback import Rollback
from deploynaut.web.production.withdraw import Withdraw

_ENVIRONMENT = "instances/<name:instance>/<name:environment>"
_DEPLOYMENT = f"{_ENVIRONMENT}/<number:number>"

PATTERNS: list[URLPattern | URLResolver] = [
    path(f"{_DEPLOYMENT}/approval/", Approval.as_view(), name="approval"),
    path(f"{_DEPLOYMENT}/rollback/", Rollback.as_view(), name="rollback"),
    path(f"{_DEPLOYMENT}/start/", acts.start, name="start"),
    path(f"{_DEPLOYMENT}/attend/", acts.attend, name="attend"),
    path(f"{_DEPLOYMENT}/dismiss/", acts.dismiss, name="dismiss"),
    path(f"{_DEPLOYMENT}/extend/", Extend.as_view(), name="extend"),
    path(f"{_DEPLOYMENT}/withdraw/", Withdraw.as_view(), name="withdraw"),
    path(f"{_DEPLOYMENT}/resolve/", Resolve.as_view(), name="resolve"),
    path("operations/maintenance/", maintenance, name="maintenance"),
    path(f"{_ENVIRONMENT}/refused/<number:pk>/", Lift.as_view(), name="lift"),
]
