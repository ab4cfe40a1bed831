"""Looks up the key a host shows. Nothing is trusted by it: a person compares the fingerprint and confirms."""

from __future__ import annotations

from deploynaut.engine.connections import ConnectionFailed, fetch_host_key
from deploynaut.engine.steps.base import StepFailed, StepResult
from deploynaut.instances.managers import ssh_place
from deploynaut.instances.models import Instance, Target
from deploynaut.runs.models import Run
from deploynaut.runs.subjects import Work


def scan_target(run: Run, work: Work) -> StepResult:
    """The keys that a target shows, kept for its page."""
    target = Target.objects.get(pk=run.subject_id)
    lines, words = _seen(target.address, target.port, work)
    Target.objects.filter(pk=target.pk).update(host_key_seen="\n".join(lines))
    return StepResult(words)


def scan_repository(run: Run, work: Work) -> StepResult:
    """The keys that the repository's server shows, kept for the instance's page."""
    instance = Instance.objects.get(pk=run.subject_id)
    place = ssh_place(instance.repository)
    if place is None:
        return StepResult("this repository is not reached by SSH")
    lines, words = _seen(*place, work)
    Instance.objects.filter(pk=instance.pk).update(repository_host_key_seen="\n".join(lines))
    return StepResult(words)


def _seen(address: str, port: int, work: Work) -> tuple[list[str], str]:
    try:
        keys = fetch_host_key(address, port)
    except ConnectionFailed as error:
        raise StepFailed(str(error)) from error
    for key, fingerprint in keys:
        work.log(f"{address}:{port} shows {key.split()[0]} {fingerprint}")
    return [key for key, _ in keys], f"{address}:{port} shows {len(keys)} host keys; a person has to confirm one"
