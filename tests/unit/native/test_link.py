"""Links: connected as the router told, with one committer for each partition, and closed in order."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.memory import MemoryKeyValue, MemoryLog
from flux_actors.native import link as link_module
from flux_actors.native.link import open_link
from flux_actors.native.ticket import Ticket
from flux_actors.router.topology import (
    LOG_KEY,
    REGISTRY_BUCKET,
    TOPOLOGY_KEY,
    LogRegistry,
    Owner,
    Topology,
    encode,
)
from tests.unit.native.twin import ACCESS, PARTITIONS, holder, introduction


class Client:
    """A connection that can be closed, from here and from there."""

    def __init__(self):
        self.is_closed = False

    async def subscribe(self, subject, cb):
        return SimpleNamespace(unsubscribe=self.flush)

    async def flush(self):
        """Nothing waits."""

    async def close(self):
        self.is_closed = True


@pytest.fixture
def around(monkeypatch):
    around = SimpleNamespace(client=Client(), store=MemoryKeyValue(), log=MemoryLog(PARTITIONS), asked=[])
    around.registry = MemoryKeyValue()
    monkeypatch.setattr("flux_actors.limits.log_look_s", 0.001)

    async def connect(access, name, timeout_s):
        around.asked.append((access, name))
        return around.client

    async def bucket(client, name, replicas):
        if name != REGISTRY_BUCKET:
            return around.store
        if not await around.registry.keys():
            await around.registry.put(LOG_KEY, encode(LogRegistry("log", PARTITIONS)))
        return around.registry

    monkeypatch.setattr(link_module, "connect", connect)
    monkeypatch.setattr(link_module, "JetStreamLog", lambda *_: around.log)
    monkeypatch.setattr(link_module, "JetStreamKeyValue", SimpleNamespace(open=bucket))
    return around


async def again():
    return introduction()


async def test_it_goes_where_the_router_said(around):
    link = await open_link(Ticket(source="me"), introduction(), again)
    assert around.asked == [(ACCESS, "flux-native")]
    assert link.partitioning.partitions == PARTITIONS
    assert link.committer(1) is link.committer(1)
    assert link.committer(1) is not link.committer(2)
    (outcome,) = await link.committer(1).commit([b"\xc0"])
    assert outcome == 1 << 12
    assert link.usable
    await link.close()
    assert around.client.is_closed
    assert not link.usable


async def test_it_follows_the_feed_by_the_topology(around):
    link = await open_link(Ticket(), introduction(), again)
    with pytest.raises(Unavailable, match="not placed"):
        await link.following.open()
    topology = Topology(LogRegistry("log", PARTITIONS), [Owner("flux-shard-0-e1", 1)] * PARTITIONS)
    await around.store.put(TOPOLOGY_KEY, encode(topology))
    shards = await link.following._open_shards()  # noqa: SLF001
    assert shards.owner(2) == "flux-shard-0-e1"
    await shards.stop()
    await link.close()


async def test_it_is_of_no_more_use_once_the_log_has_a_next_generation(around):
    link = await open_link(Ticket(), introduction(), again)
    around.log.closed |= set(range(PARTITIONS))
    waiting = asyncio.create_task(link.committer(1).commit([b"\xc0"]))
    await asyncio.sleep(0.01)
    await around.registry.put(LOG_KEY, encode(LogRegistry("next", 2 * PARTITIONS, generation=2)))
    (outcome,) = await asyncio.wait_for(waiting, 5)
    assert isinstance(outcome, Unavailable)  # to be sent again, by another link
    await asyncio.wait_for(until_closed(around.client), 5)
    assert not link.usable
    with pytest.raises(Unavailable, match="repartitioned"):  # the router has not heard of it yet
        await open_link(Ticket(), introduction(), again)


async def until_closed(client):
    while not client.is_closed:  # noqa: ASYNC110 - it does not tell
        await asyncio.sleep(0.001)


async def test_who_is_refused_is_not_even_connected(around):
    with pytest.raises(Refused):
        await open_link(Ticket("token", "work"), introduction(holder("home"), 10.0), again)
    assert around.asked == []
