"""Fills an installation with deployments that wait at gates: `python -m benchmarks.waiting_world NUMBER`.

A third each waits for approval, for Deploy, and in its rollback window, begun through the verbs. What is due at them
is spread evenly over the time to come, as if they had come one after the other.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta

import django
from django.db import transaction

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploynaut.settings")
django.setup()

from deploynaut.durable import port  # noqa: E402
from deploynaut.durable.inline import inline_engine  # noqa: E402
from deploynaut.instances.models import Commit, Environment  # noqa: E402
from deploynaut.notify.models import Message  # noqa: E402
from deploynaut.runs.models import Run, StepRun  # noqa: E402
from tests.builders import make_deployment, make_environment, make_instance  # noqa: E402

AN_INSTANCE = 100
GATES = ("approval", "confirm", "rollback_window")
SPANS = {"approval": timedelta(days=7), "confirm": timedelta(days=1), "rollback_window": timedelta(hours=1)}
ESCALATION = timedelta(hours=2)


def main() -> None:
    """Make as many as asked for."""
    number, now = int(sys.argv[1]), port.utc_now()
    # The wakes of the filling are nobody's: the worker's reconciler finds what is due.
    with inline_engine(automatic=False):
        made = 0
        while made < number:
            some = min(AN_INSTANCE, number - made)
            with transaction.atomic():
                _instance(made, some, now=now)
            made += some
    _spread(port.utc_now())
    # What they told people, and the errands beside them, are done: waiting is what is measured.
    Message.objects.update(status=Message.Status.SENT)
    Run.objects.exclude(kind="deployment").update(status="succeeded", ended_at=now)


def _instance(first: int, number: int, *, now: datetime) -> None:
    instance = make_instance(f"site{first}")
    make_environment(instance)
    commit = Commit.objects.filter(instance=instance).first()
    for place in range(number):
        gate = GATES[place % len(GATES)]
        prod = make_environment(instance, f"prod{place}", kind="production")
        make_deployment(prod, at=gate, commit=commit, now=now)
        Environment.objects.filter(pk=prod.pk).update(released_at=now)


def _spread(now: datetime) -> None:
    for gate, span in SPANS.items():
        waiting = list(StepRun.objects.filter(kind=gate, status="waiting"))
        for place, step in enumerate(waiting, start=1):
            step.deadline = now + span * place / len(waiting)
            step.escalates_at = now + ESCALATION * place / len(waiting) if gate == "approval" else None
        StepRun.objects.bulk_update(waiting, ["deadline", "escalates_at"])


if __name__ == "__main__":
    main()
