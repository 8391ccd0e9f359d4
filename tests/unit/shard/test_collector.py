"""The collector of a shard's process: cycles go, and what stays is not walked again."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from flux_actors.shard import collector
from flux_actors.shard.collector import collect_young
from tests.unit.shard.hosting import until


class Node:
    """An object that refers to itself."""

    def __init__(self):
        self.itself = self


@pytest.fixture
async def collecting(monkeypatch):
    monkeypatch.setattr(collector, "_EVERY_S", 0)
    monkeypatch.setattr(collector, "_YOUNG_MIN", 100)
    frozen = gc.get_freeze_count()
    task = asyncio.create_task(collect_young())
    await until(lambda: not gc.isenabled())
    yield frozen
    task.cancel()
    await asyncio.wait([task])
    gc.unfreeze()


async def test_cycles_are_collected_when_enough_is_young(collecting):
    seen = weakref.ref(Node())
    young = [[] for _ in range(1_000)]
    await until(lambda: seen() is None)
    assert len(young) == 1_000


async def test_what_stays_is_frozen(collecting):
    young = [[] for _ in range(1_000)]
    await until(lambda: gc.get_freeze_count() >= collecting + len(young))


async def test_pythons_schedule_is_back_when_it_ends(monkeypatch):
    monkeypatch.setattr(collector, "_EVERY_S", 0)
    task = asyncio.create_task(collect_young())
    await until(lambda: not gc.isenabled())
    task.cancel()
    await asyncio.wait([task])
    assert gc.isenabled()
