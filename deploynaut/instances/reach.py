"""Opens connections to the targets of an environment, with its own key, under the run's fence token. For the worker."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from deploynaut.engine.connections import Connection, Host, Local, OpenSSH
from deploynaut.engine.steps.base import StepFailed, TargetHost
from deploynaut.instances import secrets
from deploynaut.instances.models import Environment, Target
from deploynaut.runs.models import Run
from deploynaut.runs.subjects import Work


def reached(targets: Iterable[Target], *, run: Run, work: Work, take_over: bool = True) -> tuple[TargetHost, ...]:
    """The hosts, each taken over with this run's token; they stay open until the run's session closes.

    Without `take_over` no host is asked yet: for the way back, which has patience with one that is out of reach.
    Raises ConnectionFailed naming the host, StepFailed when a target cannot be used yet.
    """
    return work.session.keep("hosts", lambda stack: _open(targets, run, work, stack, take_over))


def _open(targets: Iterable[Target], run: Run, work: Work, stack: ExitStack, take_over: bool) -> tuple[TargetHost, ...]:
    hosts = []
    for target in targets:
        connection = _connection(target, run, work)
        stack.callback(connection.close)
        hosts.append(TargetHost(str(target), target.roles, connection, target.page))
    for host in hosts if take_over else ():
        host.connection.take_over()
    return tuple(hosts)


def _connection(target: Target, run: Run, work: Work) -> Connection:
    if target.reach == Target.Reach.LOCAL:
        return Local(base=target.base, token=work.token, run=run.title, guard=work.session.guard)
    if not target.host_key:
        raise StepFailed(f"The host key of {target} has not been confirmed. Compare its fingerprint and confirm it.")
    return OpenSSH(
        host=Host(target.address, target.port, target.user, target.host_key),
        base=target.base,
        token=work.token,
        run=run.title,
        key=_key(target.environment),
        directory=secrets.scratch(),
        guard=work.session.guard,
    )


def _key(environment: Environment) -> bytes:
    key = secrets.private_key("environment", environment.pk)
    if key is None:
        raise StepFailed(f"The SSH key of {environment} is still being made. Try again in a moment.")
    return key
