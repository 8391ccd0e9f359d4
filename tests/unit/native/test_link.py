"""Links: connected as the router told, with one committer for each partition, and closed in order."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.memory import MemoryKeyValue, MemoryLog
from flux_actors.native import link as link_module
from flux_actors.native.link import open_link
from flux_actors.native.ticket import Ticket
from flux_actors.router.topology import TOPOLOGY_KEY, LogRegistry, Owner, Topology, encode
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

    async def connect(access, name, timeout_s):
        around.asked.append((access, name))
        return around.client

    async def bucket(client, name, replicas):
        return around.store

    monkeypatch.setattr(link_module, "connect", connect)
    monkeypatch.setattr(link_module, "JetStreamLog", lambda _: around.log)
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


async def test_who_is_refused_is_not_even_connected(around):
    with pytest.raises(Refused):
        await open_link(Ticket("token", "work"), introduction(holder("home"), 10.0), again)
    assert around.asked == []
