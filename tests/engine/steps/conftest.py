"""Fixtures of the steps: the demo's source once for all, an environment for each test."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest

from demo.repository import build
from deploynaut.engine.databases.files import SnapshotFiles
from deploynaut.engine.packages import PackageStore
from deploynaut.engine.repository import Access, Mirror
from tests.engine.steps.lab import Environment, Host, Source, served, with_options

MakeEnvironment = Callable[..., Environment]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The demo's repository, mirrored; packages are built once and kept."""
    directory = tmp_path_factory.mktemp("source")
    commits = build(directory / "repository.git")
    access = Access(address=str(directory / "repository.git"))
    mirror = Mirror(directory / "mirror.git", access=access, allow_local_below=directory)
    mirror.fetch(progress=lambda phase, percent: None, guard=lambda: None)
    return Source(mirror, PackageStore(directory / "packages"), commits)


@pytest.fixture(scope="session")
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture(scope="session")
def template(
    source: Source, identity: pyrage.x25519.Identity, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Environment]:
    """Environments with release 1 (version 1.0) live and known good, by their number of hosts; copied for each test."""

    @functools.cache
    def made(hosts: int) -> Environment:
        environment = bare(source, identity, tmp_path_factory.mktemp("template") / "environment", hosts=hosts)
        with contextlib.ExitStack() as stack:
            for host in environment.hosts:
                stack.enter_context(served(host))
            environment.set_up()
            environment.release("1.0")
        return environment

    return made


def bare(source: Source, identity: pyrage.x25519.Identity, directory: Path, *, hosts: int) -> Environment:
    """Hosts with an empty base path; the first one has the database."""
    everywhere = [Host(name, directory / name) for name in ("web1", "web2", "web3")[:hosts]]
    for host in everywhere:
        host.base.mkdir(parents=True)
    for host in everywhere[1:]:
        host.roles = frozenset({"web"})
    snapshots = SnapshotFiles(directory / "snapshots", str(identity.to_public()), str(identity))
    return Environment(source, directory, everywhere, with_options(), snapshots)


@pytest.fixture
def make_environment(source: Source, identity: pyrage.x25519.Identity, tmp_path: Path) -> Iterator[MakeEnvironment]:
    """Makes an environment whose hosts are set up and served; nothing is released there yet."""
    with contextlib.ExitStack() as stack:

        def make(hosts: int = 1, **changes: object) -> Environment:
            environment = bare(source, identity, tmp_path / "environment", hosts=hosts)
            for name, value in changes.items():
                setattr(environment, name, value)
            for host in environment.hosts:
                stack.enter_context(served(host))
            environment.set_up()
            return environment

        yield make


@pytest.fixture
def make_live(template: Callable[[int], Environment], tmp_path: Path) -> Iterator[MakeEnvironment]:
    """Makes environments with release 1 live, each from the same beginning."""
    with contextlib.ExitStack() as stack:
        numbers = itertools.count(1)

        def make(hosts: int = 1) -> Environment:
            environment = template(hosts).copy(tmp_path / f"live{next(numbers)}")
            for host in environment.hosts:
                stack.enter_context(served(host))
            return environment

        yield make


@pytest.fixture
def environment(make_environment: MakeEnvironment) -> Environment:
    """One host, set up, nothing released yet."""
    return make_environment()


@pytest.fixture
def live(make_live: MakeEnvironment) -> Environment:
    """One host with release 1 (version 1.0) live and known good."""
    return make_live()


@pytest.fixture
def two(make_live: MakeEnvironment) -> Environment:
    """Two web hosts with release 1 live; the first one has the database."""
    return make_live(2)
