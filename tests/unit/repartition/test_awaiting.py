"""Whether every Flux that runs serves the next generation of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.log.generations import origin_of
from flux_actors.log.memory import MemoryBus, MemoryKeyValue
from flux_actors.log.roll_call import Answerer
from flux_actors.log.sites import at_site
from flux_actors.metering import table
from flux_actors.repartition import awaiting
from flux_actors.repartition.awaiting import is_served
from flux_actors.router.topology import TOPOLOGY_KEY, LogRegistry, Topology, encode

AFTER = LogRegistry("next", 2, generation=2)
NEW, OLD = origin_of(2) - 1, 7  # where an empty partition of it stands, and one of the log before


class Shard:
    """A shard that tells where its partitions are."""

    def __init__(self, bus: MemoryBus, name: str) -> None:
        self._answerer = Answerer(bus, name, "shard", [self._samples])
        self.told: dict[int, tuple[bool, int]] = {}
        self.asked = 0

    async def open(self, told: dict[int, tuple[bool, int]]) -> Shard:
        self.told = told
        await self._answerer.open()
        return self

    def _samples(self) -> Iterator[Any]:
        self.asked += 1
        for partition, (running, position) in self.told.items():
            yield table.RUNNING.of(running, str(partition))
            yield table.POSITION.of(position, str(partition))


class World:
    """Buses and topologies of some sites."""

    def __init__(self) -> None:
        self.topologies = MemoryKeyValue()
        self.buses: dict[str, MemoryBus] = {}

    def bus(self, site: str) -> MemoryBus:
        return self.buses.setdefault(site, MemoryBus())

    async def shard(
        self, told: dict[int, tuple[bool, int]], site: str = "", name: str = "flux-shard-0-e1"
    ) -> Shard:
        store = at_site(self.topologies, site)
        await store.put(TOPOLOGY_KEY, encode(Topology(AFTER, [None, None])))
        return await Shard(self.bus(site), name).open(told)

    async def is_served(self) -> bool:
        return await is_served(self.topologies, self.bus, AFTER)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "roll_wait_s", 0.02)
    monkeypatch.setattr(limits, "roll_fresh_s", 0.0)
    monkeypatch.setattr(limits, "log_look_s", 0.001)
    monkeypatch.setattr(limits, "repartition_served_s", 0.5)
    monkeypatch.setattr(awaiting, "_SILENT_S", 0.3)


@pytest.fixture
def world() -> World:
    return World()


async def test_it_is_served_when_all_partitions_run_whoever_has_them(world: World):
    await world.shard({0: (True, NEW)})
    await world.shard({1: (True, NEW + 3)}, name="flux-shard-1-e1")
    assert await world.is_served()


@pytest.mark.parametrize(
    "told",
    [
        {},
        {0: (True, NEW)},
        {0: (True, NEW), 1: (False, NEW)},
        {0: (True, NEW), 1: (True, OLD)},
    ],
    ids=["a shard that just started", "one has no partition", "one recovers", "one is of the log before"],
)
async def test_it_is_not_served_before_the_last_partition_is(world: World, told: Any):
    shard = await world.shard(told)
    assert not await world.is_served()
    shard.told = {0: (True, NEW), 1: (True, NEW)}
    assert await world.is_served()


async def test_it_is_waited_for_shards_that_recover(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "repartition_served_s", 5.0)
    shard = await world.shard({0: (True, NEW), 1: (False, NEW)})
    waiting = asyncio.create_task(world.is_served())
    while shard.asked < 3:  # noqa: ASYNC110 - it does not tell
        await asyncio.sleep(0.001)
    assert not waiting.done()
    shard.told[1] = (True, NEW)
    assert await waiting


async def test_every_site_that_answers_is_waited_for(world: World):
    await world.shard({0: (True, NEW), 1: (True, NEW)})
    other = await world.shard({0: (True, NEW)}, site="other")
    assert not await world.is_served()
    other.told[1] = (True, NEW)
    assert await world.is_served()


async def test_sites_that_are_gone_are_not_waited_for(world: World):
    await at_site(world.topologies, "gone").put(TOPOLOGY_KEY, encode(Topology(AFTER, [None, None])))
    assert await world.is_served()  # nobody runs at all
    await world.shard({0: (True, NEW), 1: (True, NEW)})
    assert await world.is_served()
