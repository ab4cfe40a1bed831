"""The addresses of the pages. Acts of an instance itself are below `-/`, which no environment can be called."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from deploynaut.web import converters as converters
from deploynaut.web import front, outbox
from deploynaut.web.deployments import page as deployments
from deploynaut.web.deployments.stream import live
from deploynaut.web.environments import page as environments
from deploynaut.web.environments import settings, targets
from deploynaut.web.environments.release import Release
from deploynaut.web.guards.urls import PATTERNS as GUARDS
from deploynaut.web.instances import listing, repository
from deploynaut.web.instances import page as instances
from deploynaut.web.notices.urls import PATTERNS as NOTICES
from deploynaut.web.people.urls import PATTERNS as PEOPLE
from deploynaut.web.pipelines.urls import PATTERNS as PIPELINES
from deploynaut.web.production.urls import PATTERNS as PRODUCTION

_ONE = "instances/<name:instance>"
_ENVIRONMENT = f"{_ONE}/<name:environment>"
_DEPLOYMENT = f"{_ENVIRONMENT}/<number:number>"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", front.front, name="front"),
    path("messages/", outbox.messages, name="messages"),
    path("runs/<number:pk>/log/", deployments.run_log, name="run-log"),
    path("instances/", listing.instances, name="instances"),
    path("instances/new/", listing.CreateInstance.as_view(), name="instance-create"),
    path(f"{_ONE}/", instances.instance, name="instance"),
    path(f"{_ONE}/new/", settings.Create.as_view(), name="environment-create"),
    path(f"{_ONE}/-/repository/", repository.part, name="repository"),
    path(f"{_ONE}/-/fetch/", repository.fetch, name="fetch"),
    path(f"{_ONE}/-/host-key/", repository.confirm, name="repository-confirm"),
    *PEOPLE,
    *NOTICES,
    *PIPELINES,
    *GUARDS,
    *PRODUCTION,
    path(f"{_ENVIRONMENT}/", environments.environment, name="environment"),
    path(f"{_ENVIRONMENT}/release/", Release.as_view(), name="release"),
    path(f"{_ENVIRONMENT}/settings/", settings.Settings.as_view(), name="environment-settings"),
    path(f"{_ENVIRONMENT}/targets/", targets.part, name="targets"),
    path(f"{_ENVIRONMENT}/targets/add/", targets.add, name="target-add"),
    path(f"{_ENVIRONMENT}/targets/<number:pk>/confirm/", targets.confirm, name="target-confirm"),
    path(f"{_ENVIRONMENT}/targets/<number:pk>/check/", targets.check, name="target-check"),
    path(f"{_ENVIRONMENT}/targets/<number:pk>/remove/", targets.Remove.as_view(), name="target-remove"),
    path(f"{_DEPLOYMENT}/", deployments.deployment, name="deployment"),
    path(f"{_DEPLOYMENT}/abort/", deployments.Abort.as_view(), name="abort"),
    path(f"{_DEPLOYMENT}/log/", deployments.log, name="log"),
    path(f"{_DEPLOYMENT}/live/", live, name="live"),
]
