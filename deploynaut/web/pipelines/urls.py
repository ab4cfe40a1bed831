"""The addresses of this part."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from deploynaut.web.pipelines.history import pipeline_history
from deploynaut.web.pipelines.importing import Import
from deploynaut.web.pipelines.page import Pipeline
from deploynaut.web.pipelines.schema import pipeline_schema

_PIPELINE = "instances/<name:instance>/<name:environment>/pipeline"

PATTERNS: list[URLPattern | URLResolver] = [
    path("pipeline.schema.json", pipeline_schema, name="pipeline-schema"),
    path(f"{_PIPELINE}/", Pipeline.as_view(), name="pipeline"),
    path(f"{_PIPELINE}/history/", pipeline_history, name="pipeline-history"),
    path(f"{_PIPELINE}/import/", Import.as_view(), name="pipeline-import"),
]
