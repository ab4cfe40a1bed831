"""Every effect of a deployment on its target, numbered, and one of them made to fail: refused, cut, lost, or fatal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from deploynaut.engine.connections import Local
from deploynaut.engine.connections.base import CommandFailed, Connection, ConnectionLost, Result
from deploynaut.engine.shell import Command

T = TypeVar("T")


class Mode(StrEnum):
    """How an effect fails."""

    REFUSED = "refused"
    """Not done; the command says no."""
    CUT = "cut"
    """Not done; the connection ends before."""
    LOST = "lost"
    """Done; the connection ends before we hear of it."""
    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    """The worker dies with it: nothing of it acts any more."""


class Killed(BaseException):
    """The worker was killed at this moment."""


@dataclass
class Plan:
    """Which effect fails, and how; counts all of them. `when` hears what each one is, just before it."""

    at: int = 0
    mode: Mode = Mode.REFUSED
    when: Callable[[str], None] = lambda what: None
    said: list[str] = field(default_factory=list)
    dead: bool = False

    def effect(self, what: str, act: Callable[[], T]) -> T:
        """Do it, or not."""
        if self.dead:
            raise Killed(what)
        self.said.append(what)
        self.when(what)
        return self._fail(what, act) if len(self.said) == self.at else act()

    def _fail(self, what: str, act: Callable[[], T]) -> T:
        match self.mode:
            case Mode.REFUSED:
                raise CommandFailed(f"injected: refused: {what}", host="local", status=1)
            case Mode.CUT:
                raise ConnectionLost("injected: cut", host="local")
            case Mode.LOST:
                act()
                raise ConnectionLost("injected: lost", host="local")
            case Mode.KILLED_AFTER:
                act()
        self.dead = True
        raise Killed(what)


@dataclass
class Numbered:
    """The real local connection, each act of which is an effect of the plan."""

    plan: Plan
    real: Connection

    @property
    def name(self) -> str:
        return self.real.name

    @property
    def base(self) -> str:
        return self.real.base

    def run(self, command: Command, **options: Any) -> Result:
        return self.plan.effect(str(command)[-100:], lambda: self.real.run(command, **options))

    def put(self, content: bytes, path: str, *, mode: int = 0o644) -> None:
        self.plan.effect(f"put {path}", lambda: self.real.put(content, path, mode=mode))

    def take_over(self) -> None:
        self.plan.effect("take over", self.real.take_over)

    def stop_work(self) -> None:
        self.plan.effect("stop work", self.real.stop_work)

    def close(self) -> None:
        self.real.close()


def numbered(plan: Callable[[], Plan]) -> Callable[..., Numbered]:
    """In place of `Local`."""
    return lambda **words: Numbered(plan(), Local(**words))
