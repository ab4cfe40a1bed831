"""An environment with two real SSH targets, added and confirmed through the verbs; the demo site served on each."""

from __future__ import annotations

import pwd
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploynaut.cli.demo import PIPELINE, RECIPE, STEPS
from tests.real.conftest import SshdHost
from tests.stage import Stage, free_port, wait_until
from tests.witnesses import Prober, columns, leftovers, overlaps, processes_about, titles

NAME = "pair"
MEGABYTES = 64


@dataclass
class Fleet:
    """Two hosts of one environment. The second one's disk is small; both share one `shared/`, as by a network disk."""

    stage: Stage
    hosts: list[SshdHost]
    urls: list[str] = field(default_factory=list)
    pipeline: str = ""

    @property
    def bases(self) -> list[Path]:
        return [host.base for host in self.hosts]

    def set_up(self, kind: str = "uat") -> None:
        """Environment, its key on both hosts, targets, fingerprints confirmed, release 0 laid out."""
        self.urls = [self._serve(number, host) for number, host in enumerate(self.hosts, start=1)]
        text = PIPELINE.format(words="Two hosts.", steps=STEPS, url=self.urls[0])
        text += f'  second: {{url: "{self.urls[1]}/", contains: "Kererū Valley Council", within: 5s}}\n'
        self.pipeline = _tests_together(text)
        clerk = self.stage.clerk
        if kind == "production":
            self.pipeline = f"promote_from: uat\n{self.pipeline}"
        facts = {"url": f"{self.urls[0]}/", "pipeline": self.pipeline, "kind": kind}
        clerk("add_environment", name=NAME, like="uat", who="Ada", **facts)
        key = wait_until(lambda: clerk("public_key", environment=NAME), seconds=40, what="the key is made")
        for number, host in enumerate(self.hosts):
            with (host.directory / "authorized_keys").open("a") as file:
                file.write(key + "\n")
            self._add(host, first=number == 0, page=self.urls[number])

    def change(self, **options: Any) -> None:
        """Other options of the recipe."""
        self.stage.clerk("change_environment", environment=NAME, who="Ada", recipe_options={**RECIPE, **options})

    def test_too(self, name: str, url: str) -> None:
        """Another smoke test, of a page that the test serves itself."""
        text = self.pipeline.replace("keep_releases", f'  {name}: {{url: "{url}", within: 60s}}\nkeep_releases')
        self.stage.clerk("change_environment", environment=NAME, who="Ada", pipeline=text)

    def _serve(self, number: int, host: SshdHost) -> str:
        port = free_port()
        self.stage.spawn(f"web{number}", "demo/server.py", "--base", str(host.base), "--port", str(port))
        return f"http://127.0.0.1:{port}"

    def _add(self, host: SshdHost, *, first: bool, page: str) -> None:
        target = self.stage.clerk(
            "add_target", environment=NAME, who="Ada", reach="ssh", address=host.address, port=host.port,
            user=host.user, base=str(host.base), web=True, db=first, page=page,
        )  # fmt: skip
        self._wait(target, "host_key_seen<>''", what="the host key is looked up")
        self.stage.clerk("confirm", target=target, who="Ada")
        self._wait(target, "set_up_at IS NOT NULL", what="the target is set up")

    def _wait(self, target: int, condition: str, *, what: str) -> None:
        sql = f"SELECT count(*) FROM instances_target WHERE id=? AND {condition}"
        runs = "SELECT title, status, cause FROM runs_run WHERE kind LIKE 'target%'"
        try:
            wait_until(lambda: self.stage.ask(sql, target)[0][0], seconds=40, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.stage.ask(runs)}") from error

    # --- releases under witnesses ------------------------------------------------------------------------------------

    def begin(self, name: str) -> int:
        """Begin a release of a branch or tag."""
        return self.stage.begin("branch" if "/" in name else "tag", name, environment=NAME)

    def to_production(self, by: str, value: str) -> int:
        """Rob begins, Mia approves, Rob presses Deploy; returns when the rollback window is open."""
        number = self.stage.begin(by, value, environment=NAME)
        self.at_gate(number, "approval")
        self.stage.clerk("approve", environment=NAME, number=number, who="Mia")
        self.at_gate(number, "confirm")
        self.stage.clerk("start", environment=NAME, number=number, who="Rob")
        self.at_gate(number, "rollback_window")
        return number

    def at_gate(self, number: int, gate: str) -> None:
        """Wait until the deployment waits there."""
        steps = (gate, False, "waiting")
        ended = ("succeeded", "failed", "aborted", "rolled back", "rollback failed", "rejected", "expired")
        wait_until(
            lambda: steps in self.stage.steps(number, NAME) or self.stage.status(number, NAME) in ended,
            seconds=60, what=f"{gate}: {self.log(number)[-3000:]}",
        )  # fmt: skip
        assert steps in self.stage.steps(number, NAME), self.log(number)

    def end(self, number: int, *, seconds: float = 60) -> str:
        """The word with which it ended."""
        return self.stage.wait_for_end(number, NAME, seconds=seconds)

    def release(self, name: str, *, seconds: float = 60) -> tuple[int, str]:
        """Begin, and wait for the end."""
        number = self.begin(name)
        return number, self.end(number, seconds=seconds)

    def log(self, number: int) -> str:
        """Its log."""
        return self.stage.log(number, NAME)

    def outcome(self, number: int) -> str:
        """Its outcome in words."""
        return self.stage.outcome(number, NAME)

    @contextmanager
    def watched(self) -> Iterator[list[Prober]]:
        """A visitor at each host."""
        with ExitStack() as stack:
            yield [stack.enter_context(Prober(f"{url}/")) for url in self.urls]

    @property
    def live(self) -> list[str]:
        """What each host's `current` leads to, as the version in it."""
        return [(base / "current" / "VERSION").read_text().strip() for base in self.bases]

    @property
    def data(self) -> tuple[list[str], set[str]]:
        """News titles and the columns that migrations have made."""
        return titles(self.bases[0]), columns(self.bases[0])

    @property
    def other(self) -> str:
        """A good tag that is not live."""
        return "1.2" if self.live[0] != "1.2.0" else "1.1.1"

    def check_clean(self, told: str = "") -> None:
        """Nothing of a run is left on any host, and one run after the other has acted there."""
        served = {process.pid for process in self.stage.processes.values()}
        for base in self.bases:
            assert leftovers(base) == [], told
            assert overlaps(base) == [], told
            strangers = {pid: words for pid, words in processes_about(base).items() if pid not in served}
            assert strangers == {}, f"{strangers}\n{told}"


def _tests_together(text: str) -> str:
    """The pipeline's last test stands behind `keep_releases`; it belongs with the others."""
    lines = text.splitlines()
    keep = next(line for line in lines if line.startswith("keep_releases"))
    return "\n".join([*(line for line in lines if line != keep), keep]) + "\n"


@contextmanager
def small_disk(base: Path, user: str) -> Iterator[None]:
    """A file system of its own below `base`."""
    options = f"size={MEGABYTES}m,mode=0755,uid={pwd.getpwnam(user).pw_uid}"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", str(base)], capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"This test mounts a small file system, for which it must be root. mount said: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(base)], check=True)
