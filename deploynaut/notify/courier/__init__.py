"""Hands one parcel to a server outside, in a process of its own that is ended when its time is over.

A server that answers a byte a minute would hold a thread for ever, a library may keep what it was given, and a
redirect may lead inside: the child has a total time, little memory, none of our settings, and asks the addresses that
it may be sent to alone. It reads the parcel from its input, so that no secret stands in a list of processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

TOTAL = 25.0
"""Seconds for one parcel, the start of the child included."""

HANDED_ON = (
    "PATH", "LANG", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy",
    "no_proxy", "all_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "COVERAGE_PROCESS_START",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. `perhaps`: it may have taken the parcel all the same. `final`: another try is no use."""

    taken: bool
    words: str
    perhaps: bool = False
    final: bool = False


def hand_over(parcel: Mapping[str, Any], *, within: float = TOTAL) -> Answer:
    """Have the child deliver the parcel. Always an answer: whatever goes wrong is told in its words."""
    environment = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    # A log-in for some host in the worker's home is not for whoever writes a gateway's address.
    environment["NETRC"] = os.devnull
    command = [sys.executable, "-m", "deploynaut.notify.courier"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps({**parcel, "allow_private": settings.DEPLOYNAUT_PRIVATE_GATEWAYS}).encode(),
            capture_output=True,
            timeout=within,
            cwd=settings.BASE_DIR,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(False, f"no answer within {within:.0f} s", perhaps=True)
    except OSError as error:
        return Answer(False, f"the courier could not be started: {error}")
    return _read(done)


def _read(done: subprocess.CompletedProcess[bytes]) -> Answer:
    try:
        return Answer(**json.loads(done.stdout))
    except (ValueError, TypeError):
        # Its error output may hold what it was given, so it is not told.
        return Answer(False, f"the courier ended with status {done.returncode} and no answer", perhaps=True)
