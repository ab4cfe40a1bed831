"""A whole deployment in small: the demo's repository and web server, hosts in temporary directories, a tiny runner."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from demo.server import Front, Handler, Server
from deploynaut.engine.connections.base import Connection, Listener, Result
from deploynaut.engine.connections.local import Local
from deploynaut.engine.databases.files import SnapshotFiles
from deploynaut.engine.packages import PackageStore
from deploynaut.engine.pipeline import (
    AbortAsked,
    Claimed,
    DeadlinePassed,
    Event,
    Interrupted,
    Mark,
    Reached,
    RollbackAsked,
    State,
    Status,
    Step,
    StepStatus,
    TaskFailed,
    TaskStopped,
    TaskSucceeded,
    decide,
    parse,
)
from deploynaut.engine.recipes import Recipe, make
from deploynaut.engine.repository import Mirror
from deploynaut.engine.shell import Command
from deploynaut.engine.steps import STEPS
from deploynaut.engine.steps.base import Aborted, KnownGood, StepContext, StepFailed, StepResult, TargetHost
from deploynaut.engine.steps.set_up import set_up_target

OPTIONS: dict[str, object] = {
    "migrate": ["python3", "migrate.py"],
    "database": {"kind": "sqlite", "path": "shared/content.sqlite3"},
    "release_url": "/.well-known/deploynaut-release",
}


SWITCH = "ln -s --"
SCREEN_UP = "put maintenance.html"
SCREEN_DOWN = "rm -f -- maintenance.html"
"""How the commands look that tests wait for."""


def dumps(text: str) -> bool:
    """Whether this command saves the database."""
    return re.search(r" dump \S+ \S+\.copy \d+$", text) is not None


def restores(text: str) -> bool:
    """Whether this command puts the database back."""
    return re.search(r" restore \S+ \S+\.restore \d+$", text) is not None


class Killed(BaseException):
    """The worker was killed at this moment: nothing of it acts any more."""


@dataclass
class Clock:
    """Time that passes with each look, and at once when somebody sleeps."""

    at: datetime = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=10)
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Cut:
    """Kills before the N-th effect, which is after the one before it; `at=0` never. `count` goes on counting."""

    at: int = 0
    count: int = 0
    dead: bool = False

    def effect(self, what: str) -> None:
        self.count += 1
        self.dead = self.dead or self.count == self.at
        if self.dead:
            raise Killed(what)


@dataclass
class Wired:
    """A connection that can be cut, spied on, and made to fail; else the real one."""

    real: Connection
    cut: Cut = field(default_factory=Cut)
    before: Callable[[str], None] = lambda text: None
    said: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.real.name

    @property
    def base(self) -> str:
        return self.real.base

    def run(
        self,
        command: Command,
        *,
        timeout: float,
        stdin: bytes | Path | None = None,
        output: Listener | None = None,
        output_to: BinaryIO | None = None,
        check: bool = True,
    ) -> Result:
        self.said.append(str(command))
        self.before(str(command))
        self.cut.effect(str(command)[-80:])
        return self.real.run(command, timeout=timeout, stdin=stdin, output=output, output_to=output_to, check=check)

    def put(self, content: bytes, path: str, *, mode: int = 0o644) -> None:
        self.said.append(f"put {path}")
        self.before(f"put {path}")
        self.cut.effect(f"put {path}")
        self.real.put(content, path, mode=mode)

    def take_over(self) -> None:
        self.before("take_over")
        self.cut.effect("take_over")
        self.real.take_over()

    def stop_work(self) -> None:
        self.before("stop_work")
        self.cut.effect("stop_work")
        self.real.stop_work()

    def close(self) -> None:
        self.real.close()


@dataclass(frozen=True)
class Source:
    """What is released: the demo's mirror and the package store, made once for all tests."""

    mirror: Mirror
    packages: PackageStore
    commits: Mapping[str, str]


@dataclass
class Host:
    """One web host: a base path and the demo's own web server on it."""

    name: str
    base: Path
    address: str = ""
    roles: frozenset[str] = frozenset({"web", "db"})

    @property
    def live(self) -> str:
        current = self.base / "current"
        return current.resolve().name if current.is_symlink() else ""

    @property
    def database(self) -> Path:
        return self.base / "shared" / "content.sqlite3"

    @property
    def flag(self) -> Path:
        return self.base / "maintenance.html"

    def get(self, path: str = "/") -> int:
        """The status that a visitor gets."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def content(self) -> list[str] | None:
        """Everything in the database, None when there is none."""
        if not self.database.exists():
            return None
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return list(connection.iterdump())

    def releases(self) -> set[str]:
        """What lies in `releases/`, unfinished things too."""
        return {path.name for path in (self.base / "releases").iterdir()}


@contextlib.contextmanager
def answering(pages: Mapping[str, tuple[int, bytes]]) -> Iterator[str]:
    """A web server that stands still: these pages, each 503 with our header; anything else is 200."""

    class Still(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = pages.get(self.path, (200, b"always open"))
            self.send_response(status)
            if status == 503:
                self.send_header("X-Deploynaut-Maintenance", "1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *words: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Still) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def served(host: Host) -> Iterator[Host]:
    """The host with its web server running."""
    server = Server(("127.0.0.1", 0), Handler)
    server.set_app(Front(base=host.base))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    host.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Environment:
    """An environment with its hosts, and what the books would know about it."""

    source: Source
    directory: Path
    hosts: list[Host]
    recipe: Recipe
    snapshots: SnapshotFiles
    production: bool = False
    good: KnownGood | None = None
    number: int = 0
    token: int = 0
    tests: str = ""
    more: str = ""
    kept: frozenset[int] = frozenset()
    screen_was_up: bool = False
    clock: Clock = field(default_factory=Clock)

    @property
    def host(self) -> Host:
        return self.hosts[0]

    @property
    def spec_text(self) -> str:
        home, search = f"{self.host.address}/", f"{self.host.address}/search?q=a"
        tests = self.tests or f'{{home: {{url: "{home}", contains: News}}, search: {{url: "{search}"}}}}'
        return f"steps:\n  - smoke_tests: {{attempts: 1}}\nsmoke_tests: {tests}\n{self.more}"

    def connections(self, *, guard: Callable[[], None] = lambda: None, cut: Cut | None = None) -> dict[str, Wired]:
        """New ones, with a newer token, as a worker opens them."""
        self.token += 1
        return {
            host.name: Wired(Local(host.base, self.token, "demo/uat#1", guard), cut=cut or Cut()) for host in self.hosts
        }

    def set_up(self) -> None:
        for host in self.hosts:
            host.base.mkdir(parents=True, exist_ok=True)
            target = TargetHost(host.name, host.roles, self.connections()[host.name], host.address)
            set_up_target(target, recipe=self.recipe, log=lambda line: None)

    def deployment(self, ref: str, **changes: Any) -> Deployment:
        """A new one for a branch or tag of the demo; its release has the next number."""
        self.number += 1
        return Deployment(environment=self, commit=self.source.commits[ref], number=self.number, **changes)

    def release(self, ref: str) -> Deployment:
        """One that succeeds; then it is known good."""
        deployment = self.deployment(ref)
        assert deployment.go() is Status.SUCCEEDED, deployment.lines
        self.good = deployment.known_good
        return deployment

    def copy(self, directory: Path) -> Environment:
        """The same environment somewhere else, for one more try from the same beginning. Not served yet."""
        shutil.copytree(self.directory, directory, symlinks=True)
        places = [directory / host.base.relative_to(self.directory) for host in self.hosts]
        hosts = [Host(host.name, place, roles=host.roles) for host, place in zip(self.hosts, places, strict=True)]
        snapshots = replace(self.snapshots, directory=directory / "snapshots")
        return replace(self, directory=directory, hosts=hosts, snapshots=snapshots, clock=Clock())


@dataclass
class Deployment:
    """The runner in small: rows become fields, `decide` decides, a kill is an exception that nobody catches."""

    environment: Environment
    commit: str
    number: int
    cut: Cut = field(default_factory=Cut)
    abort_at: str = ""
    digest: str = ""
    before: Callable[[Deployment, str, str], None] = lambda deployment, host, text: None
    rollback: RollbackAsked | None = None
    lines: list[str] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    wired: dict[str, Wired] = field(default_factory=dict)
    aborting: bool = False
    live: int | None = None
    killed: str = ""
    marks_when_killed: frozenset[Mark] = frozenset()

    def __post_init__(self) -> None:
        kinds = parse(self.environment.spec_text, production=self.environment.production).kinds
        kinds = tuple(kind for kind in kinds if kind not in ("approval", "confirm"))
        environment = self.environment
        self.state = State(
            steps=tuple(Step(kind) for kind in kinds),
            first=environment.good is None,
            screen_was_up=environment.screen_was_up,
        )

    @property
    def known_good(self) -> KnownGood:
        return KnownGood(self.number, self.commit, self.facts["prepare"]["digest"])

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def go(self) -> Status:
        """To the end; after a kill another worker goes on."""
        while not self.state.status.ended:
            self.wired = self.environment.connections(guard=self.guard, cut=self.cut)
            for name, wired in self.wired.items():
                wired.before = lambda text, name=name: self.before(self, name, text)  # type: ignore[misc]
            try:
                self._work()
            except Killed as killed:
                self.killed, self.marks_when_killed = str(killed), self.state.marks
                self.lines.append(f"*** killed before: {killed}")
                self.cut = Cut()
        return self.state.status

    def _work(self) -> None:
        while not self.state.status.ended:
            step = self.state.current
            assert step is not None
            if step.is_gate:
                self.apply(Claimed())
                self.apply(self.rollback or DeadlinePassed(step.kind))
                continue
            self.apply(Interrupted() if step.status is StepStatus.RUNNING else Claimed())
            step = self.state.current
            if step is None or step.status is not StepStatus.RUNNING:
                continue
            self._answer(step)

    def _answer(self, step: Step) -> None:
        try:
            result: StepResult = STEPS[step.kind].run(self.context(step))
        except Aborted as stopped:
            self.apply(TaskStopped(str(stopped)))
        except StepFailed as failed:
            self.lines.append(str(failed))
            self.apply(TaskFailed(str(failed)))
        else:
            self.lines.append(result.summary)
            # A kill may fall between the work and its answer: then nobody knows that it was done.
            self.cut.effect(f"answer of {step.kind}")
            self.facts[f"back:{step.kind}" if step.back else step.kind] = dict(result.facts)
            self.apply(TaskSucceeded())

    def apply(self, event: Event) -> None:
        decision = decide(self.state, event)
        self.state = decision.state
        self.notices += [notice.event for notice in decision.notices]
        self.lines += [decision.line] if decision.line else []

    def guard(self) -> None:
        if self.cut.dead:
            raise Killed("guard")
        if self.aborting and self.state.status is not Status.ROLLING_BACK:
            raise Aborted("aborted by Rob")

    def mark(self, mark: Mark) -> None:
        self.guard()
        self.cut.effect(f"mark {mark.word}")
        self.apply(Reached(mark))
        if self.abort_at == mark.word:
            self.abort()

    def abort(self) -> None:
        """Somebody presses Abort now."""
        self.apply(AbortAsked("Rob"))
        self.aborting = True

    def context(self, step: Step) -> StepContext:
        environment = self.environment
        hosts = tuple(
            TargetHost(host.name, host.roles, self.wired[host.name], host.address) for host in environment.hosts
        )
        return StepContext(
            run=f"demo/uat #{self.number}",
            number=self.number,
            commit=self.commit,
            production=environment.production,
            targets=hosts,
            recipe=environment.recipe,
            spec=parse(environment.spec_text, production=environment.production),
            mirror=environment.source.mirror,
            packages=environment.source.packages,
            snapshots=environment.snapshots,
            facts=self.facts,
            marks=self.state.marks,
            back_to=environment.good,
            kept=environment.kept | {self.number},
            log=self.lines.append,
            guard=self.guard,
            mark=self.mark,
            clock=environment.clock.now,
            screen_was_up=environment.screen_was_up,
            code_only=self.state.code_only,
            aborted=bool(self.state.abort_by),
            digest=self.digest,
            hosts=frozenset({"127.0.0.1"}),
            live=self.live,
            way_back=step.back,
            sleep=environment.clock.sleep,
        )


def with_options(**options: object) -> Recipe:
    """The demo's recipe with other options."""
    return make("plain", {**OPTIONS, **options})
