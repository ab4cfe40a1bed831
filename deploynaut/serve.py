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
    try:
        begun = time.monotonic()
        module = ("-m", "deploynaut.serve", "--data", str(demo.data), "--lock", "0", "--prepare")
        done = supervisor.finish("prepare", (sys.executable, *module))
        if done == 0:
            for name, words in processes(demo):
                supervisor.start(name, words)
            supervisor.watch(ready=lambda: _answers(demo.url("web")), when_ready=lambda: _say(greeting(demo, begun)))
        return 1 if done else 0
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
    """Bring the database up to date, collect the static files when they have changed, set up what is to be seen."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    stamp, now = demo.data / "static.txt", _static_files()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != now:
        call_command("collectstatic", verbosity=0, interactive=False, clear=True)
        stamp.write_text(now, encoding="utf-8")
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


def _static_files() -> str:
    """A fingerprint of all static files: names, sizes and times."""
    found = sorted((ROOT / "deploynaut").glob("*/static/**/*"))
    facts = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in found]
    facts += [str((ROOT / "requirements.txt").stat().st_mtime_ns)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


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
