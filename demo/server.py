"""The web server of one demo environment.

    python demo/server.py --base DIRECTORY --port NUMBER [--die-with-parent]

It stays the same process while releases come and go. For each request it looks once where `<base>/current` leads and
lets the code of that release answer the whole request, so that switching the link takes effect at the next request.

Before the site's own code comes, as Apache's configuration would:

- `GET /.well-known/deploynaut-release` answers the text of the served release's `.deploynaut-release`, also while the
  maintenance screen is up (this is how a deployment checks what is served); 404 when there is none;
- while `<base>/maintenance.html` exists, or the release is the screen alone (release 0), every page answers 503.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from types import ModuleType
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

RELEASE_ADDRESS = "/.well-known/deploynaut-release"
SCREEN = b"<!doctype html><html lang=en><title>Back soon</title><h1>Back soon</h1><p>This site is being set up.</p>"
KEPT_RELEASES = 4


def main() -> None:
    options = _arguments()
    if options.die_with_parent:
        die_with_parent()
    server = Server(("127.0.0.1", options.port), Handler)
    server.set_app(Front(base=options.base))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"{options.base} is served on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--base", type=lambda text: Path(text).resolve(), required=True, help="base path of the environment"
    )
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1; 0 takes a free one and prints it")
    parser.add_argument(
        "--die-with-parent", action="store_true", help="end when the process that started this one ends"
    )
    return parser.parse_args()


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each request; on the way out it waits for the running ones, each of which has a time limit."""

    daemon_threads = False
    allow_reuse_address = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # HTTPServer looks its own name up here, which takes seconds on a machine without a name server.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()


class Handler(WSGIRequestHandler):
    timeout = 5

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: deployments and their tests ask this server all the time."""


class Front:
    """The WSGI application in front: finds the release, puts the screen before it, hands the request on."""

    def __init__(self, *, base: Path) -> None:
        self.base = base
        self._loaded: dict[tuple[str, int, int], WSGIApplication] = {}
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        release = self.release()
        if environ.get("PATH_INFO") == RELEASE_ADDRESS:
            return _plain(start_response, _read(release / ".deploynaut-release") if release else None)
        screen = self.screen(release)
        if screen is not None:
            return _screen(start_response, screen)
        assert release is not None  # screen() gave one otherwise
        return self.application(release)(environ, start_response)

    def release(self) -> Path | None:
        """The release directory that `current` leads to at this moment, None when it leads nowhere."""
        try:
            return (self.base / "current").resolve(strict=True)
        except OSError:
            return None

    def screen(self, release: Path | None) -> bytes | None:
        """The page to answer 503 with, None when the site is open."""
        flagged = _read(self.base / "maintenance.html")
        if flagged is not None:
            return flagged
        if release is not None and (release / "app.py").exists():
            return None
        return (_read(release / "maintenance.html") or _read(release / "index.html") or SCREEN) if release else SCREEN

    def application(self, release: Path) -> WSGIApplication:
        """The release's own application, loaded afresh for each directory; a number laid out again is another one."""
        facts = (release / "app.py").stat()
        key = (str(release), facts.st_ino, facts.st_mtime_ns)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = _load(release)
                for old in list(self._loaded)[:-KEPT_RELEASES]:
                    del self._loaded[old]
            return self._loaded[key]


def _load(release: Path) -> WSGIApplication:
    """The application of `release/app.py`; one that cannot be loaded answers 500, as a broken release does."""
    try:
        spec = importlib.util.spec_from_file_location(f"release_{release.name}", release / "app.py")
        assert spec and spec.loader
        module: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        create: Callable[[Path], WSGIApplication] = module.create
        return create(release)
    except Exception as error:
        return _broken(f"release {release.name} does not load: {type(error).__name__}: {error}")


def _broken(reason: str) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("500 Internal Server Error", [("Content-Type", "text/plain; charset=utf-8")])
        return [reason.encode()]

    return application


def _screen(start_response: StartResponse, page: bytes) -> Iterable[bytes]:
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(page))),
        ("Retry-After", "120"),
        ("Cache-Control", "no-store"),
        ("X-Deploynaut-Maintenance", "1"),
    ]
    start_response("503 Service Unavailable", headers)
    return [page]


def _plain(start_response: StartResponse, text: bytes | None) -> Iterable[bytes]:
    body = b"no release\n" if text is None else text
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    start_response("404 Not Found" if text is None else "200 OK", headers)
    return [body]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def die_with_parent() -> None:
    """Ask the kernel (Linux) for SIGTERM when the parent ends; elsewhere look once a second."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() == parent:
            return
        os.kill(os.getpid(), signal.SIGTERM)  # the parent ended before the kernel was asked
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.dont_write_bytecode = True  # a release is verified file by file: nothing may be added to it
    main()
