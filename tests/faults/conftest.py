"""One whole installation for the kill tests, with release 1.1 live on uat; whether the long battery is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faults.lab import Lab
from tests.stage import Stage, staged


@pytest.fixture(scope="session")
def whole_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Worker and the uat site as real processes; set up once."""
    with staged(tmp_path_factory.mktemp("stage") / "data", "uat", "worker") as stage:
        assert stage.release("tag", "1.1") == "succeeded", stage.log(1)
        yield stage


@pytest.fixture
def lab(whole_stage: Stage) -> Iterator[Lab]:
    """The installation with its worker up and nothing open, whatever the test before did."""
    lab = Lab(whole_stage)
    lab.recover()
    yield lab


@pytest.fixture(scope="session")
def long() -> bool:
    """`./test faults --all`."""
    return bool(os.environ.get("DEPLOYNAUT_TEST_ALL"))
