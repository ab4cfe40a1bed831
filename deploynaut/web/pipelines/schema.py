"""The JSON Schema of the pipeline file, for editors. It holds nothing of anybody's, so it asks for no log-in."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from deploynaut.engine.pipeline.schema import schema


@require_safe
@cache_control(public=True, max_age=3600)
def pipeline_schema(request: HttpRequest) -> HttpResponse:
    """The schema of this version of Deploynaut."""
    return HttpResponse(json.dumps(schema(), indent=2), content_type="application/schema+json")
