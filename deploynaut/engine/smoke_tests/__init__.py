"""Smoke tests: named URLs asked from outside, findings, and one pure verdict."""

from __future__ import annotations

from deploynaut.engine.smoke_tests.addresses import ALL, Allowed
from deploynaut.engine.smoke_tests.probe import objection, probe, run_all
from deploynaut.engine.smoke_tests.values import (
    LIMIT,
    SCREEN_HEADER,
    Answer,
    Attempt,
    BadSmokeTest,
    Finding,
    NoAnswer,
    SmokeTest,
    Transport,
)
from deploynaut.engine.smoke_tests.verdict import Verdict, verdict
from deploynaut.engine.smoke_tests.web import HttpTransport

__all__ = [
    "ALL",
    "LIMIT",
    "SCREEN_HEADER",
    "Allowed",
    "Answer",
    "Attempt",
    "BadSmokeTest",
    "Finding",
    "HttpTransport",
    "NoAnswer",
    "SmokeTest",
    "Transport",
    "Verdict",
    "objection",
    "probe",
    "run_all",
    "verdict",
]
