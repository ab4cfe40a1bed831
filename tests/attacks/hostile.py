"""A whole installation whose instance `leaky` is hostile: its repository, its target's programs and its site.

Repository and target are reached by real SSH on loopback, with the product's own keys. What the target prints, and what
the site answers, is chosen by the test a moment before (`say`), so that it can be the product's own secrets.
"""

from __future__ import annotations

import getpass
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.attacks.canaries import needles
from tests.engine.git_repository import Repository
from tests.real.conftest import SshdHost, make_host
from tests.stage import PROJECT, Stage, wait_until

SMTP_PASSWORD = "correct-Horse/Battery=Staple"
PLACE = "leaky/uat"

MIGRATE = """import pathlib, sys
said = pathlib.Path({said!r})
sys.stdout.buffer.write((said / "out").read_bytes())
sys.stdout.flush()
sys.stderr.buffer.write((said / "err").read_bytes())
sys.stderr.flush()
exec((said / "then").read_text())
"""
BUILD = 'cat {said}/build; exit "$(cat {said}/build-status)"\n'
PIPELINE = """steps:
  - smoke_tests: {{attempts: 1, delay: 1s}}
smoke_tests:
  home: {{url: "{url}/", contains: "All is well", within: 5s}}
"""
ASK = """
import json, sys, traceback, django
django.setup()
from django.conf import settings
from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.roles import Role
from deploynaut.deployments.models import Deployment
from deploynaut.durable import port
from deploynaut.instances import secrets
from deploynaut.instances.fetching import begin_fetch
from deploynaut.instances.managers import begin_target_run
from deploynaut.instances.models import Environment, Instance, Target
from deploynaut.instances.revisions import choose
for line in sys.stdin:
    code, given = json.loads(line)
    names = {**globals(), "given": given, "now": port.now(), "answer": None}
    try:
        exec(code, names)
        print(json.dumps([names["answer"], ""]), flush=True)
    except Exception:
        print(json.dumps([None, traceback.format_exc()]), flush=True)
"""
CREATE = """
leaky = Instance.objects.add(name="leaky", title=given["title"], repository=given["repository"], by=None, now=now)
Instance.objects.filter(pk=leaky.pk).update(repository_host_key=given["host_key"])
uat = Environment.objects.add(instance=leaky, name="uat", kind="uat", recipe="plain", url=given["url"] + "/",
    recipe_options=given["recipe"], pipeline=given["pipeline"], by=None, now=now)
ssh = {"address": "127.0.0.1", "port": given["port"], "user": given["user"], "base": given["base"]}
target = Target(environment=uat, db=True, host_key=given["host_key"], **ssh)
target.save()
for user, role in (("Ada", Role.INSTANCE_MANAGER), ("Rob", Role.TECHNICAL_STAFF), ("Mia", Role.DEPLOYMENT_MANAGER)):
    Grant.objects.give(by=None, to=User.objects.get(name=user), role=role, instance=leaky.pk, now=now)
"""
SECRETS = """
owners = [("instance", Instance.objects.get(name="leaky").pk),
          ("environment", Environment.objects.get(instance__name="leaky").pk)]
answer = {"deploy key": secrets.private_key(*owners[0]).decode(),
          "environment key": secrets.private_key(*owners[1]).decode(),
          "master key": secrets.opener().identity, "secret key": settings.SECRET_KEY,
          "smtp password": settings.EMAIL_HOST_PASSWORD}
"""
PUBLIC = "SELECT owner, public FROM instances_keypair WHERE name LIKE '%leaky%' AND public != ''"
BEGIN = """
uat = Environment.objects.select_related("instance").get(instance__name="leaky")
revision = choose(uat.instance, by="branch", text=given["branch"])
# The stories release one revision again and again, whatever became of it.
uat.bars.filter(lifted_at=None).update(lifted_at=now)
answer = Deployment.objects.begin(environment=uat, by=User.objects.get(name="Ada"), revision=revision, now=now).number
"""


class Site(BaseHTTPRequestHandler):
    """What the hostile site answers is in files of the folder that `say` writes."""

    said: Path

    def do_GET(self) -> None:
        """Any page."""
        status, headers = json.loads((self.said / "site-head").read_text())
        body = (self.said / "site-body").read_bytes()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


@dataclass
class Hostile:
    """The stage with the hostile instance, its host, and what everything says."""

    stage: Stage
    folder: Path
    host: SshdHost
    site: ThreadingHTTPServer
    canaries: dict[str, str] = field(default_factory=dict)
    inside: subprocess.Popen[str] | None = None

    @property
    def said(self) -> Path:
        """Where the hostile parts look up what to say."""
        return self.folder / "said"

    def say(
        self,
        *,
        out: bytes = b"",
        err: bytes = b"",
        then: str = "",
        build: bytes = b"",
        build_status: int = 0,
        body: bytes = b"All is well",
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Choose what the migration writes and does, what the build writes, and what the site answers."""
        self.said.mkdir(exist_ok=True)
        texts = {"out": out, "err": err, "then": then.encode(), "build": build, "build-status": b"%d" % build_status}
        texts |= {"site-head": json.dumps([status, headers or {}]).encode(), "site-body": body}
        for name, content in texts.items():
            (self.said / name).write_bytes(content)

    def ask(self, code: str, **given: Any) -> Any:
        """Run code inside the product, in a process of its own, as its command line would."""
        if self.inside is None:
            self.inside = subprocess.Popen(
                [sys.executable, "-c", ASK],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=PROJECT,
                env=self.stage.environment(),
                text=True,
            )
        assert self.inside.stdin and self.inside.stdout
        self.inside.stdin.write(json.dumps([code, given]) + "\n")
        self.inside.stdin.flush()
        answer, trace = json.loads(self.inside.stdout.readline())
        assert not trace, trace
        return answer

    def begin(self, branch: str = "main") -> int:
        """Begin a deployment of leaky/uat."""
        return int(self.ask(BEGIN, branch=branch))

    def deploy(self, branch: str = "main") -> tuple[str, int]:
        """A whole deployment: its last word, and its number."""
        number = self.begin(branch)
        return self.end_of(number), number

    def end_of(self, number: int, *, seconds: float = 60) -> str:
        """The word with which a deployment of leaky/uat ended."""

        def ended() -> str:
            status, over = self.stage.ask("SELECT status, ended_at FROM runs_run WHERE title=?", f"{PLACE} #{number}")[
                0
            ]
            return str(status) if over else ""

        return str(wait_until(ended, seconds=seconds, what=f"{PLACE} #{number} ends; log:\n{self.log(number)[-3000:]}"))

    def log(self, number: int, step: str | None = None) -> str:
        """All that was logged for a deployment of leaky/uat, or for one kind of step."""
        sql = (
            "SELECT l.text FROM runs_run r JOIN runs_logchunk l ON l.run_id=r.id LEFT JOIN runs_steprun s ON "
            "s.id=l.step_id WHERE r.title=? AND (? IS NULL OR s.kind=?) ORDER BY l.id"
        )
        return "".join(text for (text,) in self.stage.ask(sql, f"{PLACE} #{number}", step, step))

    def run_to_end(self, code: str, kind: str) -> tuple[str, str]:
        """Begin a run of another kind; its last word and its cause."""
        before = self.stage.ask("SELECT coalesce(max(id), 0) FROM runs_run WHERE kind=?", kind)[0][0]
        self.ask(code)

        def ended() -> tuple[str, str] | None:
            found = self.stage.ask(
                "SELECT status, cause FROM runs_run WHERE kind=? AND id>? AND ended_at IS NOT NULL", kind, before
            )
            return (str(found[0][0]), str(found[0][1])) if found else None

        found: tuple[str, str] = wait_until(ended, seconds=40, what=f"a run of kind {kind} ends")
        return found

    def fetch(self) -> tuple[str, str]:
        """Fetch latest changes."""
        code = 'begin_fetch(Instance.objects.get(name="leaky"), by=None, now=now)'
        return self.run_to_end(code, "fetch")

    def check(self, kind: str = "check") -> tuple[str, str]:
        """Check connection; with `set_up`, set the target up."""
        code = f'begin_target_run("{kind}", Target.objects.get(environment__instance__name="leaky"), now=now)'
        return self.run_to_end(code, f"target_{kind}")

    def let_in(self, *, instance: str = "", environment: str = "") -> None:
        """Accept the product's keys on the host; with a text, only to execute that."""
        public = dict(self.stage.ask(PUBLIC))
        lines = []
        for owner, forced in (("instance", instance), ("environment", environment)):
            before = f'command="{forced}" ' if forced else ""
            lines.append(f"{before}{public[owner]}\n")
        (self.host.directory / "authorized_keys").write_text("".join(lines))

    def wanted(self) -> dict[bytes, str]:
        """The canaries in every form, keys also line by line."""
        return dict(needles(self.canaries))


@contextmanager
def hostile(folder: Path, *, title: str = "Leaky", files: dict[bytes, bytes | str] | None = None) -> Iterator[Hostile]:
    """The installation, with web and worker running and the hostile repository fetched once."""
    host = make_host(getpass.getuser())
    (folder / "tmp").mkdir(parents=True)
    extra = {
        "DEPLOYNAUT_SMTP": f"smtp://postman:{SMTP_PASSWORD.replace('/', '%2F')}@127.0.0.1:9",
        "TMPDIR": str(folder / "tmp"),
    }
    stage = Stage(folder / "data", extra=extra)
    site = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Site,), {"said": folder / "said"}))
    threading.Thread(target=site.serve_forever, daemon=True).start()
    made = Hostile(stage, folder, host, site)
    try:
        made.say()
        host.start()
        stage.set_up()
        _create(made, _repository(made, files or {}), title)
        stage.start("web", "worker")
        wait_until(lambda: len(stage.ask(PUBLIC)) == 2, seconds=40, what="keys")
        made.let_in()
        made.canaries = _canaries(made.ask(SECRETS))
        for status, cause in (made.fetch(), made.check("set_up")):
            assert status == "succeeded", cause
        yield made
    finally:
        if made.inside:
            made.inside.communicate()
        stage.stop()
        host.close()
        site.shutdown()


def _repository(made: Hostile, files: dict[bytes, bytes | str]) -> Repository:
    said = str(made.said)
    content = {
        b"migrate.py": MIGRATE.format(said=said).encode(),
        b"build.sh": BUILD.format(said=shlex.quote(said)).encode(),
    }
    repository = Repository(made.folder / "site.git")
    for branch in ("main", "second", "third"):
        tree = {b"index.html": f"<h1>Hello {branch}</h1>".encode(), **content, **files}
        repository.commit(tree, branch=branch, message="A release")
    return repository


def _create(made: Hostile, repository: Repository, title: str) -> None:
    url = f"http://127.0.0.1:{made.site.server_port}"
    made.ask(
        CREATE,
        title=title,
        repository=f"ssh://{made.host.user}@127.0.0.1:{made.host.port}{repository.directory}",
        host_key=made.host.host_key,
        url=url,
        pipeline=PIPELINE.format(url=url),
        recipe={"build": [["sh", "build.sh"]], "migrate": ["python3", "migrate.py"]},
        port=made.host.port,
        user=made.host.user,
        base=str(made.host.base),
    )


def _canaries(secrets: dict[str, str]) -> dict[str, str]:
    """Each secret whole; of a key also the lines that only this key has."""
    found = dict(secrets)
    for name in ("deploy key", "environment key"):
        lines = [line for line in secrets[name].splitlines() if not line.startswith("-----")]
        found |= {f"{name}, line {number}": line for number, line in enumerate(lines[1:], 2) if len(line) > 20}
    return found
