"""What deployments that wait at their gates cost: `python -m benchmarks.waiting`.

A thousand wait for approval, for Deploy or in their windows, on SQLite, with a real worker; beside it, in the same
minute, a worker of an installation in which nothing waits. Both are measured by the CPU time that the kernel counts
for them. Exits with 1 when the share of the first is over its bar.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import figures
from tests.sinks import mail_sink

ROOT = Path(__file__).resolve().parent.parent
BAR = 0.05
SETTLE = 20


@dataclass
class Installation:
    """A data folder with its worker; `waiting`: how many deployments wait in it; `mail`: port of its mail server."""

    data: Path
    waiting: int
    mail: int
    worker: subprocess.Popen[bytes] | None = None

    def fill(self) -> None:
        """Make the files and what waits."""
        self._run("manage.py", "migrate", "--verbosity=0")
        if self.waiting:
            # The settings of the tests: cheap passwords, and no wait for the disk while filling.
            with_tests = {"DEPLOYNAUT_TEST_DATA": str(self.data), "DJANGO_SETTINGS_MODULE": "deploynaut.settings_test"}
            self._run("-m", "benchmarks.waiting_world", str(self.waiting), **with_tests)

    def open_gates(self) -> int:
        """How many wait at a gate now."""
        with closing(sqlite3.connect(f"file:{self.data / 'app.sqlite3'}?mode=ro", uri=True, timeout=20)) as database:
            return int(database.execute("SELECT count(*) FROM runs_run WHERE status='waiting'").fetchone()[0])

    @contextmanager
    def working(self) -> Iterator[None]:
        """With its worker running."""
        with (self.data / "worker.log").open("wb") as log:
            words = [sys.executable, "manage.py", "worker"]
            self.worker = subprocess.Popen(words, cwd=ROOT, env=self._environment(), stdout=log, stderr=log)
        try:
            yield
        finally:
            self.worker.send_signal(signal.SIGTERM)
            self.worker.wait(30)

    def seconds(self) -> float:
        """CPU time of the worker so far, its children's included."""
        assert self.worker is not None and self.worker.poll() is None, (self.data / "worker.log").read_text()
        fields = Path(f"/proc/{self.worker.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def _run(self, *words: str, **more: str) -> None:
        subprocess.run([sys.executable, *words], cwd=ROOT, env=self._environment(**more), check=True)

    def _environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEPLOYNAUT", "DJANGO"))}
        ours = {"DJANGO_SETTINGS_MODULE": "deploynaut.settings", "DEPLOYNAUT_DATA": str(self.data),
                "DEPLOYNAUT_SMTP": f"smtp://127.0.0.1:{self.mail}"}  # fmt: skip
        return {**kept, "PYTHONPATH": str(ROOT), **ours, **more}


def shares(installations: list[Installation], *, seconds: float) -> list[float]:
    """The share of one core that each worker takes, over the same time."""
    begun, before = time.monotonic(), [one.seconds() for one in installations]
    time.sleep(seconds)
    after, took = [one.seconds() for one in installations], time.monotonic() - begun
    return [(end - start) / took for start, end in zip(before, after, strict=True)]


def measure(data: Path, *, number: int, seconds: float) -> list[list[str]]:
    """The figures: waiting, still waiting at the end, letters sent meanwhile, share of a core."""
    with ExitStack() as stack:
        mail = stack.enter_context(mail_sink())
        busy, idle = Installation(data / "busy", number, mail.port), Installation(data / "idle", 0, mail.port)
        for one in (busy, idle):
            one.data.mkdir()
            one.fill()
            stack.enter_context(one.working())
        time.sleep(SETTLE)
        letters = len(mail.mails)
        found = shares([busy, idle], seconds=seconds)
        sent = (len(mail.mails) - letters, 0)
        return [
            [str(one.waiting), str(one.open_gates()), str(mails), f"{share:.2%}"]
            for one, mails, share in zip((busy, idle), sent, found, strict=True)
        ] + [["ratio", "", "", f"{found[0] / found[1]:.2f}"]]


def main() -> None:
    """Measure, write the page, and exit with 1 when the bar is broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--waiting", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--dry", action="store_true", help="do not write the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waiting-") as data:
        rows = measure(Path(data), number=options.waiting, seconds=options.seconds)
    head = ["deployments", "wait at the end", "letters meanwhile", "share of one core"]
    print(figures.table(head, rows))
    if not options.dry:
        _write(head, rows, seconds=options.seconds)
    share = float(rows[0][-1].rstrip("%")) / 100
    if share > BAR:
        sys.exit(f"{share:.2%} of a core is over the bar of {BAR:.0%}")


def _write(head: list[str], rows: list[list[str]], *, seconds: float) -> None:
    figures.write(
        "waiting",
        title="Deployments that wait at gates",
        machine=f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}; bar: under {BAR:.0%} of one core",
        words=f"""
A third each waits for approval, for Deploy, and in its rollback window, each in an environment of its own; what is
due is spread evenly. CPU time of the worker as the kernel counts it, over {seconds:.0f} s; both workers run at the
same time on the same machine. What comes due meanwhile (groups asked, windows that close, their letters) is done and
counted: with windows of an hour and groups asked every two that is about eight gates a minute.
""",
        head=head,
        rows=rows,
    )


if __name__ == "__main__":
    main()
