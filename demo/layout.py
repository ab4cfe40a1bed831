"""Where the demo keeps its things below the data directory, on which ports its sites are, and who may log in.

`./run` chooses the ports and the password; `manage.py demo` reads them here, so that both speak of the same demo.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

PORTS = {"web": 8000, "uat": 8001, "prod": 8002}
WORDS = tuple(
    "amber birch cedar coral delta ember fjord grove heron indigo juniper kelp lilac maple nectar olive pearl quartz"
    " raven spruce tundra umber violet willow".split(" ")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody of the demo, with the roles of docs/reference/rights.md; `phone` is nobody's."""

    name: str
    email: str
    phone: str
    roles: tuple[str, ...]
    says: str


PEOPLE = (
    Person(
        name="Mia",
        email="mia@demo.example",
        phone="+64215550101",
        roles=("deployment-manager",),
        says="Deployment Manager: approves",
    ),
    Person(
        name="Rob",
        email="rob@demo.example",
        phone="+64215550102",
        roles=("technical-staff",),
        says="Technical Staff: releases",
    ),
    Person(
        name="Olga",
        email="olga@demo.example",
        phone="+64215550103",
        roles=("ops",),
        says="Ops: is called when something is stuck",
    ),
    Person(
        name="Ada",
        email="ada@demo.example",
        phone="+64215550104",
        roles=("administrator", "instance-manager"),
        says="Administrator and Instance Manager",
    ),
)


class Facts(TypedDict):
    ports: dict[str, int]
    password: str


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo in one data directory (`var/` for `./run`)."""

    data: Path

    @property
    def repository(self) -> Path:
        """The bare repository that demo/repository.py builds."""
        return self.data / "demo" / "repository.git"

    def base(self, site: str) -> Path:
        """Base path of the environment `uat` or `prod`: releases, current, shared."""
        return self.data / "demo" / "sites" / site

    def url(self, name: str) -> str:
        """Address of `web` (Deploynaut itself), `uat` or `prod`, without a slash at its end."""
        return f"http://127.0.0.1:{self.facts()['ports'][name]}"

    @property
    def password(self) -> str:
        """The one password of all people of this demo."""
        return self.facts()["password"]

    @property
    def file(self) -> Path:
        return self.data / "demo.json"

    def facts(self) -> Facts:
        """What settle() chose."""
        return cast(Facts, json.loads(self.file.read_text(encoding="utf-8")))

    def settle(self, *, web: int = 0) -> None:
        """Choose ports that are free now (the ones of last time where possible) and, once, the password.

        `web` asks for that very port for Deploynaut itself. Raises PortTaken.
        """
        known = self.facts() if self.file.exists() else Facts(ports=PORTS, password=_password())
        ports = _free_ports(known["ports"] | ({"web": web} if web else {}))
        if web and ports["web"] != web:
            raise PortTaken(f"Port {web} is taken by another program. Choose another, or leave --port out.")
        facts = Facts(ports=ports, password=known["password"])
        new = self.file.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(facts, file)
        new.replace(self.file)


class PortTaken(Exception):
    """The port that was asked for is in use."""


def _password() -> str:
    return "-".join([*(secrets.choice(WORDS) for _ in range(4)), str(secrets.randbelow(9000) + 1000)])


def _free_ports(wanted: dict[str, int]) -> dict[str, int]:
    """A port for each name: the wanted one when free, else one that the system gives; all different."""
    held: list[socket.socket] = []
    try:
        held.extend(_bound(port) for port in wanted.values())
        return {name: int(taken.getsockname()[1]) for name, taken in zip(wanted, held, strict=True)}
    finally:
        for taken in held:
            taken.close()


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError:
        listener.close()
        return _bound(0)
    return listener
