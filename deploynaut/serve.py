"""What `./run` starts: prepares the demo and serves it, with the four processes that it takes.

python -m deploynaut.serve --data FOLDER --lock DESCRIPTOR [--port NUMBER]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from demo.layout import PEOPLE, Demo, PortTaken
from deploynaut.supervisor import Supervisor

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    options = _arguments()
    if options.prepare:
        prepare(Demo(options.data))
        return 0
    os.set_inheritable(options.lock, False)
    demo = Demo(options.data)
    try:
        demo.settle(web=options.port)
    except PortTaken as error:
        print(error, file=sys.stderr)
        return 2
    with Supervisor(root=ROOT, logs=demo.data / "log", environment=environment(demo), say=_say) as supervisor:
        return serve(demo, supervisor)


def serve(demo: Demo, supervisor: Supervisor) -> int:
    """Everything from the first process to the last; gives the exit status."""
    running = demo.data / "run.txt"
    running.write_text(f"{os.getpid()} {demo.url('web')}\n", encoding="utf-8")
    begun = time.monotonic()
    words = dict(processes(demo))
    # Where nothing has changed since the last time, pages come up while the demo is looked through.
    early = [] if _stale(demo) else [name for name in words if name != "worker"]
    try:
        for name in early:
            supervisor.start(name, words[name])
        prepare_it = ("-m", "deploynaut.serve", "--data", str(demo.data), "--lock", "0", "--prepare")
        status = supervisor.finish("prepare", (sys.executable, *prepare_it))
        if status == 0:
            for name in (name for name in words if name not in early):
                supervisor.start(name, words[name])
            supervisor.watch(ready=lambda: _answers(demo.url("web")), when_ready=lambda: _say(greeting(demo, begun)))
        return 1 if status else 0
    finally:
        running.unlink(missing_ok=True)


def processes(demo: Demo) -> Iterator[tuple[str, Sequence[str]]]:
    """Name and words of each process that serves the demo."""
    ports = demo.facts()["ports"]
    for site in ("uat", "prod"):
        words = ("demo/server.py", "--base", str(demo.base(site)), "--port", str(ports[site]), "--die-with-parent")
        yield site, (sys.executable, *words)
    listen = ("--host", "127.0.0.1", "--port", str(ports["web"]), "--timeout-graceful-shutdown", "3")
    quiet = ("--no-access-log", "--log-level", "warning", "--lifespan", "on")
    yield "web", (sys.executable, "-m", "uvicorn", "deploynaut.asgi:application", *listen, *quiet)
    yield "worker", (sys.executable, "manage.py", "worker", "--die-with-parent")


def environment(demo: Demo) -> dict[str, str]:
    """What the processes find in their environment: the demo's data, loopback alone."""
    ours = {
        "DJANGO_SETTINGS_MODULE": "deploynaut.settings",
        "DEPLOYNAUT_DATA": str(demo.data),
        "DEPLOYNAUT_DEMO": "yes",
        "DEPLOYNAUT_HOSTS": "127.0.0.1,localhost",
        "DEPLOYNAUT_URL": demo.url("web"),
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **ours}


def prepare(demo: Demo) -> None:
    """Bring database and static files up to date where something has changed; set up what is to be seen."""
    import django
    from django.core.management import call_command

    django.setup()
    if _stale(demo):
        call_command("migrate", verbosity=0, interactive=False)
        call_command("collectstatic", verbosity=0, interactive=False, clear=True)
        _stamp(demo).write_text(_fingerprint(), encoding="utf-8")
    call_command("demo")


def greeting(demo: Demo, begun: float) -> str:
    """What the terminal shows once the page answers."""
    people = "\n".join(f"    {person.email:<20}  {person.says}" for person in PEOPLE)
    return f"""
Deploynaut is ready: {demo.url("web")}     ({time.monotonic() - begun:.1f} s)

  Log in as one of
{people}
  with the password {demo.password}

  The sites that it deploys to
    uat   {demo.url("uat")}
    prod  {demo.url("prod")}

  A production release, played by two (a second person needs a private window)
    1. Rob releases the tag 1.0 to uat, then begins the release process on prod with it.
    2. Mia opens what waits for her, looks at it, and approves.
    3. Rob presses "Deploy to prod": backup, release, tests, then the rollback window opens.
    4. Rob looks at the site and presses Dismiss. With 1.1, the next one, he may press Rollback.
    5. What both were sent, by mail and by text, is on the page /messages/.

  Logs: {demo.data / "log"}      Ctrl-C ends everything.
"""


def _answers(url: str) -> bool:
    """Whether a page comes that is no server error."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - an address of our own
            return bool(answer.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _stale(demo: Demo) -> bool:
    """Whether migrations, static files or libraries are others than the last time."""
    stamp = _stamp(demo)
    return not stamp.exists() or stamp.read_text(encoding="utf-8") != _fingerprint()


def _stamp(demo: Demo) -> Path:
    return demo.data / "prepared.txt"


def _fingerprint() -> str:
    """Names, sizes and times of the files that migrate and collectstatic read."""
    rooms = ROOT / "deploynaut"
    found = [*rooms.glob("*/static/**/*"), *rooms.glob("*/migrations/*.py"), *rooms.glob("durable/*.py")]
    facts = [(str(path), path.stat()) for path in [*sorted(found), rooms / "settings.py", ROOT / "requirements.txt"]]
    return hashlib.sha256(repr([(name, at.st_size, at.st_mtime_ns) for name, at in facts]).encode()).hexdigest()


def _say(text: str) -> None:
    print(text, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploynaut.serve", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the demo's data folder")
    parser.add_argument("--lock", type=int, required=True, help="the open, locked data folder (./run hands it over)")
    parser.add_argument("--port", type=int, default=0, help="Deploynaut's own port")
    parser.add_argument("--prepare", action="store_true", help="only prepare the demo, in this process")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
