"""A Flux for each test that asks for one."""

from __future__ import annotations

import pytest

from tests.unit.backup.world import World


@pytest.fixture
async def world() -> World:
    """One that has started once."""
    return await World.begun()
