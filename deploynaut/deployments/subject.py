"""What a deployment's run does, and what follows from each decision: facts kept, people told, the outcome in words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from deploynaut.deployments import objections
from deploynaut.deployments.following import follow, next_round
from deploynaut.deployments.messages import tell
from deploynaut.deployments.models import Bar, Deployment
from deploynaut.deployments.outcome import outcome
from deploynaut.engine.pipeline import Decision, Event, Status, TaskSucceeded
from deploynaut.engine.steps.base import StepFailed, StepResult
from deploynaut.runs.models import Run, StepRun
from deploynaut.runs.subjects import Work
from deploynaut.snapshots.models import Snapshot


class DeploymentSubject:
    """Hands a deployment to its run."""

    def limit(self, run: Run, step: StepRun) -> timedelta:
        """The timeout of the pipeline file; the way back has the release's, and its patience with hosts on top."""
        back = step.kind == "roll_back"
        limit = run.deployment.readable_spec().settings("release" if back else step.kind).timeout
        assert isinstance(limit, timedelta)
        return limit + timedelta(seconds=settings.DEPLOYNAUT_PATIENCE) if back else limit

    def opens(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        """When a gate closes by itself; Deploy may be pressed for its whole time from the planned time on."""
        deployment = run.deployment
        gate = deployment.readable_spec().settings(step.kind)
        span: timedelta = gate.lasts if step.kind == "rollback_window" else gate.expires_after
        planned = deployment.scheduled_for if step.kind == "confirm" else None
        return max(now, planned or now) + span

    def escalates(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        """When the next group is asked to approve."""
        if step.kind != "approval":
            return None
        span: timedelta = run.deployment.readable_spec().settings("approval").escalate_after
        return now + span

    def objection(self, run: Run, step: StepRun, *, now: datetime) -> Event | None:
        """What has become of what was approved: void, or refused for good."""
        if step.kind not in _BEFORE_WORK:
            return None
        return objections.objection(Deployment.objects.locked(run.deployment.pk), gate=step.kind, now=now)

    def perform(self, run: Run, step: StepRun, work: Work) -> StepResult:
        """Run the step type with its context. The web process hands this in and never loads the steps."""
        from deploynaut.deployments.context import context
        from deploynaut.engine.steps import STEPS

        if step.kind == "prepare":
            _at_the_line(run, now=work.clock())
        return STEPS[step.kind].run(context(run.deployment, run, step, work))

    def heard(self, run: Run, event: Event, decision: Decision, *, now: datetime) -> None:
        """Keep facts worth a row, queue the messages, and write the end."""
        deployment = Deployment.objects.get_queryset().for_page().get(run=run)
        follow(deployment, event, decision, now=now)
        if isinstance(event, TaskSucceeded):
            _keep(deployment, run, run.facts())
        if decision.state.status.ended:
            _end(deployment, decision, now=now)
        for notice in decision.notices:
            tell(deployment, notice, now=now)
            if notice.event == "void":
                next_round(deployment)


_BEFORE_WORK = ("approval", "confirm")


def _at_the_line(run: Run, *, now: datetime) -> None:
    """The last look before any work. Raises StepFailed: nothing was touched."""
    deployment = Deployment.objects.get_queryset().for_page().get(run=run)
    objection = objections.at_the_line(deployment, now=now)
    if objection:
        raise StepFailed(f"{objection}. Nothing was done.")


def _end(deployment: Deployment, decision: Decision, *, now: datetime) -> None:
    deployment.active = False
    deployment.outcome = outcome(deployment, decision.state)
    tested = deployment.run.facts().get("smoke_tests", {})
    deployment.excused = bool(tested.get("excused"))
    deployment.save(update_fields=["active", "outcome", "excused"])
    if decision.state.status is Status.ROLLED_BACK:
        Bar.objects.set(deployment, now=now)


def _keep(deployment: Deployment, run: Run, facts: dict[str, dict[str, Any]]) -> None:
    prepared = facts.get("prepare", {})
    digest = prepared.get("digest", "")
    if prepared.get("screen_was_up") and not run.screen_was_up:
        # A screen that somebody put up by hand is theirs to take down, as after a failed rollback.
        run.screen_was_up = True
        run.save(update_fields=["screen_was_up"])
    if digest and digest != deployment.digest:
        deployment.digest = digest
        deployment.save(update_fields=["digest"])
    sources = (("backup", "snapshot", Snapshot.Source.BACKUP), ("back:roll_back", "safety", Snapshot.Source.SAFETY))
    for kind, fact, source in sources:
        stored = facts.get(kind, {}).get(fact)
        if stored:
            Snapshot.objects.note(environment=deployment.environment, run=deployment.run, source=source, stored=stored)


def tidy() -> None:
    """Remove the snapshots that a killed worker left half made; packages tidy up by themselves."""
    from deploynaut.deployments.context import snapshots

    snapshots().sweep()
