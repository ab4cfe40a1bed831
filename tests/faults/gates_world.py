"""Deployments at their gates whose time is over in a few seconds: `python -m tests.faults.gates_world NUMBER SECONDS`.

For each NUMBER: one that will expire at approval, one whose next group is to be asked, one that will expire at Deploy,
one whose window closes. In the data folder DEPLOYNAUT_TEST_DATA, with the settings of the tests.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import django

django.setup()

from deploynaut.durable import port  # noqa: E402
from deploynaut.instances.models import Commit  # noqa: E402
from deploynaut.notify.models import Message  # noqa: E402
from deploynaut.runs.models import Run  # noqa: E402
from tests.builders import make_deployment, make_environment, make_instance  # noqa: E402

MOMENTS = {"expires": "approval", "escalates": "approval", "unpressed": "confirm", "closes": "rollback_window"}
LATER = timedelta(days=3)


def main() -> None:
    """Make them; what is told of the way there is told."""
    number, seconds = int(sys.argv[1]), float(sys.argv[2])
    now = port.utc_now()
    instance = make_instance()
    commit = Commit.objects.filter(instance=instance).first()
    runs: list[tuple[Run, str]] = []
    for place in range(number):
        for moment, gate in MOMENTS.items():
            prod = make_environment(instance, f"{moment}{place}", kind="production")
            runs.append((make_deployment(prod, at=gate, commit=commit, now=now).run, moment))
    Message.objects.all().delete()
    Run.objects.exclude(kind="deployment").update(status="succeeded", ended_at=now)
    begins = port.utc_now() + timedelta(seconds=4)
    for place, (run, moment) in enumerate(runs):
        _end_at(run, moment, begins + timedelta(seconds=seconds * place / len(runs)))


def _end_at(run: Run, moment: str, at: datetime) -> None:
    step = run.steps.get(status="waiting")
    step.deadline = at + LATER if moment == "escalates" else at
    step.escalates_at = at if moment == "escalates" else None
    step.save(update_fields=["deadline", "escalates_at"])


if __name__ == "__main__":
    main()
