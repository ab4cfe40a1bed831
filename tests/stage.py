"""A whole Deploynaut on loopback for the tests that need one: web, worker and the demo's two sites as real processes.

Nothing of the product runs in the test's own process. Wishes go in through the pages, as a person's would; what came of
them is read by witnesses outside: a prober on the site, the journal on the target, and the record in the database.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from demo.layout import Demo

PROJECT = Path(__file__).resolve().parents[1]
PEOPLE = {"rob": "rob@demo.example", "mia": "mia@demo.example", "ada": "ada@demo.example", "olga": "olga@demo.example"}
RECORD = "deployments_deployment d JOIN instances_environment e ON e.id=d.environment_id"


class Never(AssertionError):
    """What the test waited for did not come."""


class Refused(Exception):
    """Deploynaut said no to a wish; the text says why."""


def wait_until(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """The first true value of the condition. Raises Never after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.02)
    raise Never(f"{what}: not within {seconds:.0f} s")


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stage:
    """One installation with its processes, in a directory of its own."""

    data: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _clerk: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.demo = Demo(self.data)

    # --- processes ---------------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Migrate and make the demo's rows."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.demo.settle()
        self.manage("migrate", "--verbosity=0")
        self.manage("collectstatic", "--verbosity=0", "--no-input")
        self.manage("demo")

    def manage(self, *words: str) -> str:
        """A management command, to its end."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=PROJECT, env=self.environment(), capture_output=True, timeout=120
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stdout.decode()

    def environment(self) -> dict[str, str]:
        """What our processes know."""
        ours = {"DEPLOYNAUT_DATA": str(self.data), "DEPLOYNAUT_DEMO": "1", "DEPLOYNAUT_URL": self.demo.url("web")}
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("DEPLOYNAUT", "DJANGO"))}
        return {
            **keep,
            "DJANGO_SETTINGS_MODULE": "deploynaut.settings",
            "PYTHONPATH": str(PROJECT),
            **ours,
            **self.extra,
        }

    def start(self, *names: str) -> None:
        """Start processes by name: web, worker, uat, prod."""
        for name in names:
            log = (self.data / f"{name}.log").open("ab")
            self.processes[name] = subprocess.Popen(
                self._words(name), cwd=PROJECT, env=self.environment(), stdout=log, stderr=log, start_new_session=True
            )
            log.close()
        for name in names:
            if name != "worker":
                wait_until(partial(self._answers, name), seconds=40, what=f"{name} answers")

    def _words(self, name: str) -> list[str]:
        port = str(self.demo.facts()["ports"].get(name, 0))
        match name:
            case "web":
                return [sys.executable, "-m", "uvicorn", "deploynaut.asgi:application", "--port", port,
                        "--timeout-graceful-shutdown", "3", "--log-level", "warning"]  # fmt: skip
            case "worker":
                return [sys.executable, "manage.py", "worker"]
            case _:
                return [sys.executable, "demo/server.py", "--base", str(self.demo.base(name)), "--port", port]

    def spawn(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Another process of this installation: a second worker, the server of another site."""
        with (self.data / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words], cwd=PROJECT, env=self.environment(), stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return self.processes[name]

    def _answers(self, name: str) -> bool:
        assert self.processes[name].poll() is None, (self.data / f"{name}.log").read_text()
        try:
            httpx2.get(self.demo.url(name) + "/", timeout=2)
        except httpx2.HTTPError:
            return False
        return True

    def kill(self, name: str) -> None:
        """kill -9, at once."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self) -> None:
        """End everything that this stage started."""
        if self._clerk is not None:
            self._clerk.kill()
            self._clerk.wait()
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(12)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # --- what people do ----------------------------------------------------------------------------------------------

    def person(self, who: str) -> Person:
        """Somebody of the demo, logged in."""
        return Person(self.demo.url("web"), PEOPLE[who], self.demo.password)

    def clerk(self, act: str, **words: Any) -> Any:
        """The same through the verbs, for stories that are not about pages. Raises Refused."""
        if self._clerk is None:
            with (self.data / "clerk.log").open("ab") as log:
                self._clerk = subprocess.Popen(
                    [sys.executable, "-m", "tests.clerk"], cwd=PROJECT, env=self.environment(), bufsize=0,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                )  # fmt: skip
        assert self._clerk.stdin and self._clerk.stdout
        self._clerk.stdin.write(json.dumps({"act": act, "words": words}).encode() + b"\n")
        answer = json.loads(self._clerk.stdout.readline() or '{"refused": "the clerk has died"}')
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["ok"]

    def begin(self, by: str, value: str, *, environment: str = "uat", who: str = "Rob") -> int:
        """Begin the release process; the number of the deployment."""
        return int(self.clerk("begin", environment=environment, by=by, value=value, who=who))

    def release(self, by: str, value: str, *, environment: str = "uat", seconds: float = 60) -> str:
        """Begin, and the word with which it ended."""
        return self.wait_for_end(self.begin(by, value, environment=environment), environment, seconds=seconds)

    def add_site(self, name: str, **options: Any) -> str:
        """Another environment like uat on this machine, its own site served; its address. `options` of the recipe."""
        from deploynaut.cli.demo import PIPELINE, RECIPE, STEPS  # needs Django's settings, which a stage does not

        base, port = self.demo.base(name), free_port()
        url = f"http://127.0.0.1:{port}"
        base.mkdir(parents=True, exist_ok=True)
        recipe = {**RECIPE, **options}
        pipeline = PIPELINE.format(words=name, steps=STEPS, url=url)
        self.clerk(
            "add_environment", name=name, like="uat", who="Ada", url=f"{url}/", recipe_options=recipe, pipeline=pipeline
        )
        self.clerk("add_target", environment=name, who="Ada", reach="local", base=str(base), db=True, page=url)
        self.spawn(name, "demo/server.py", "--base", str(base), "--port", str(port))
        ready = "SELECT count(*) FROM instances_target WHERE base=? AND set_up_at IS NOT NULL"
        wait_until(lambda: self.ask(ready, str(base))[0][0], seconds=40, what=f"{name} is set up")
        return url

    # --- the record (read alone) -------------------------------------------------------------------------------------

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of Deploynaut's own database."""
        with closing(sqlite3.connect(f"file:{self.data / 'app.sqlite3'}?mode=ro", uri=True, timeout=20)) as database:
            return database.execute(sql, values).fetchall()

    def newest(self, environment: str = "uat") -> int:
        """Number of the newest deployment on an environment."""
        sql = f"SELECT max(d.number) FROM {RECORD} WHERE e.name=?"
        return int(self.ask(sql, environment)[0][0] or 0)

    def status(self, number: int, environment: str = "uat") -> str:
        """The word at which a deployment stands."""
        sql = f"SELECT r.status FROM {RECORD} JOIN runs_run r ON r.id=d.run_id WHERE e.name=? AND d.number=?"
        return str(self.ask(sql, environment, number)[0][0])

    def marks(self, number: int, environment: str = "uat") -> set[int]:
        """The marks that a deployment has reached."""
        sql = f"SELECT m.mark FROM {RECORD} JOIN runs_markreached m ON m.run_id=d.run_id WHERE e.name=? AND d.number=?"
        return {int(mark) for (mark,) in self.ask(sql, environment, number)}

    def steps(self, number: int, environment: str = "uat") -> list[tuple[str, bool, str]]:
        """Kind, way back or not, and status of each tile."""
        steps = f"{RECORD} JOIN runs_steprun s ON s.run_id=d.run_id"
        sql = f"SELECT s.kind, s.back, s.status FROM {steps} WHERE e.name=? AND d.number=? ORDER BY s.position"
        return [(kind, bool(back), status) for kind, back, status in self.ask(sql, environment, number)]

    def wait_for_end(self, number: int, environment: str = "uat", *, seconds: float = 60) -> str:
        """The word with which a deployment ended."""
        opened = ("queued", "running", "waiting", "rolling back")

        def ended() -> str:
            status = self.status(number, environment)
            return "" if status in opened else status

        return str(
            wait_until(ended, seconds=seconds, what=f"deployment {number} ends; log:\n{self.log(number)[-3000:]}")
        )

    def log(self, number: int, environment: str = "uat") -> str:
        """Everything that was logged for a deployment."""
        lines = f"{RECORD} JOIN runs_logchunk l ON l.run_id=d.run_id"
        sql = f"SELECT l.text FROM {lines} WHERE e.name=? AND d.number=? ORDER BY l.id"
        return "".join(text for (text,) in self.ask(sql, environment, number))

    def outcome(self, number: int, environment: str = "uat") -> str:
        """The sentence with which a deployment ended."""
        sql = f"SELECT d.outcome FROM {RECORD} WHERE e.name=? AND d.number=?"
        return str(self.ask(sql, environment, number)[0][0])

    def token(self, environment: str = "uat") -> int:
        """The fence token of the environment's hold."""
        sql = (
            "SELECT h.token FROM runs_hold h JOIN instances_environment e ON h.key='environment:' || e.id"
            " WHERE e.name=?"
        )
        return int(self.ask(sql, environment)[0][0])

    def commit(self, name: str) -> str:
        """The full id of a branch or tag of the demo's repository."""
        return str(self.ask('SELECT "commit" FROM instances_ref WHERE name=?', name)[0][0])


class Person:
    """A browser without a screen: keeps cookies, sends forms with their token, follows nothing by itself."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self.http = httpx2.Client(base_url=url, timeout=30, follow_redirects=True, headers={"Referer": url})
        page = self.http.get("/login/")
        answer = self.post("/login/", {"login": email, "password": password}, page=page.text)
        assert "/login/" not in str(answer.url), f"{email} cannot log in"

    def get(self, path: str) -> str:
        """A page that must be there."""
        answer = self.http.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return str(answer.text)

    def post(self, path: str, fields: Mapping[str, str], *, page: str | None = None) -> httpx2.Response:
        """Send a form; the token comes from `page`, or from the page at the path."""
        html = page if page is not None else self.http.get(path).text
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html)
        assert found, f"no form at {path}"
        return self.http.post(path, data={**fields, "csrfmiddlewaretoken": found[1]})

    def begin(self, by: str, value: str, *, environment: str = "uat", instance: str = "council") -> httpx2.Response:
        """Deploy a new release: by branch, tag, release or commit."""
        return self.post(f"/instances/{instance}/{environment}/release/", {"by": by, by: value})

    def abort(self, number: int, *, environment: str = "uat", instance: str = "council") -> httpx2.Response:
        """Abort Pipeline."""
        page = self.get(f"/instances/{instance}/{environment}/{number}/")
        return self.post(f"/instances/{instance}/{environment}/{number}/abort/", {}, page=page)


@contextmanager
def staged(data: Path, *names: str, **extra: str) -> Iterator[Stage]:
    """A stage with the named processes running; all of them are gone afterwards."""
    stage = Stage(data, extra=extra)
    stage.set_up()
    try:
        stage.start(*names)
        yield stage
    finally:
        stage.stop()
