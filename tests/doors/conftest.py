"""Fixtures of the doors."""

from __future__ import annotations

import pytest

from tests.doors.world import World, make_world


@pytest.fixture
def world(db: None) -> World:
    """acme with its environments, deployments and people."""
    return make_world()
