"""What the attacks share: one whole installation with a hostile instance, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.hostile import Hostile, hostile


@pytest.fixture(scope="session")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """The installation with the instance `leaky`. Whoever uses it lets keys and worker be as they were."""
    with hostile(tmp_path_factory.mktemp("leaky")) as made:
        yield made
