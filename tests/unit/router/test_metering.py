"""What the router tells of itself."""

from __future__ import annotations

import pytest

from flux_actors.log.memory import MemoryKeyValue
from flux_actors.metering import table
from flux_actors.router import router as router_module
from flux_actors.router.metering import RouterMeter
from flux_actors.router.router import Router
from flux_actors.router.topology import LogRegistry
from tests.unit.router.fake_shards import FakeShards, until


@pytest.fixture
def shards(monkeypatch):
    monkeypatch.setattr(router_module, "_WATCH_S", 0.0)
    return FakeShards()


async def opened(shards, number):
    router = Router(MemoryKeyValue(), shards, LogRegistry("log", 4), number)
    await router.open()
    return router


def told(router):
    return {sample.name: sample.value for sample in RouterMeter(router).samples()}


async def test_shards_that_were_started_and_partitions_that_have_one(shards):
    found = told(await opened(shards, 2))
    assert found[table.SHARDS.name] == found[table.WANTED_SHARDS.name] == found[table.SHARD_STARTS.name] == 2
    assert found[table.UNPLACED.name] == found[table.UNWRITTEN.name] == found[table.MOVES.name] == 0


def test_before_it_opens_nothing_is_placed(shards):
    router = Router(MemoryKeyValue(), shards, LogRegistry("log", 4), 1)
    assert told(router)[table.UNPLACED.name] == 4


async def test_moves_are_counted_with_their_handing_over(shards):
    router = await opened(shards, 1)
    router.scale(2)
    await until(lambda: router.even)
    found = told(router)
    assert found[table.MOVES.name] == 2
    assert found[table.MOVES_LEFT.name] == 0
    assert sum(router.counts.handover_s.counts) == 2


async def test_a_shard_that_does_not_answer_is_counted(shards):
    router = await opened(shards, 1)
    (name,) = router.shard_names()
    shards.silent.add(name)
    await router._look(0, name)  # noqa: SLF001 - one look of many
    assert told(router)[table.UNANSWERED.name] == 1
