"""The processes around connectors and their keeper: what they open, and in what order they end."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest

from flux_actors.connectors import actor, ray_connectors
from flux_actors.connectors.actor import ConnectorsProcess, NamespacePlan
from flux_actors.connectors.ray_connectors import ConnectorsPlan, KeeperProcess
from flux_actors.connectors.records import Configured, ConnectorStore
from flux_actors.connectors.vault import Vault
from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.log.memory import MemoryBus, MemoryKeyValue, MemoryLog
from flux_actors.router.topology import (
    LOG_KEY,
    REGISTRY_BUCKET,
    TOPOLOGY_BUCKET,
    TOPOLOGY_KEY,
    LogRegistry,
    Topology,
    encode,
)
from tests.unit.connectors.fake_parts import settle

ACCESS = NatsAccess("nats://x")
OLD, NEW = bytes(32), b"\x01" * 32
PLAN = NamespacePlan("home", Vault([NEW]).keys_of("home"), True, "https://api.github.com", 1, False)


class Surroundings:
    """The twins of all that a process opens."""

    def __init__(self) -> None:
        self.buckets: dict[str, MemoryKeyValue] = {}
        self.connects = 0
        self.connects_to_fail = 0
        self.client = SimpleNamespace(is_closed=False, close=self.close)

    async def close(self) -> None:
        self.client.is_closed = True

    async def connect(self, access: NatsAccess, name: str) -> Any:
        self.connects += 1
        if self.connects_to_fail:
            self.connects_to_fail -= 1
            raise Unavailable("cannot reach NATS")
        return self.client

    async def bucket(self, client: Any, name: str, replicas: int) -> MemoryKeyValue:
        return self.buckets.setdefault(name, MemoryKeyValue())

    async def store(self) -> ConnectorStore:
        return ConnectorStore(await self.bucket(None, "flux_connectors", 1))

    async def place(self) -> None:
        topology = Topology(LogRegistry("id", 1), [None])
        await (await self.bucket(None, TOPOLOGY_BUCKET, 1)).put(TOPOLOGY_KEY, encode(topology))
        await (await self.bucket(None, REGISTRY_BUCKET, 1)).put(LOG_KEY, encode(topology.registry))


@pytest.fixture
def around(monkeypatch) -> Surroundings:
    around = Surroundings()
    for module in (actor, ray_connectors):
        monkeypatch.setattr(module, "connect", around.connect)
        monkeypatch.setattr(module, "JetStreamKeyValue", SimpleNamespace(open=around.bucket))
    monkeypatch.setattr(actor, "JetStreamLog", lambda *_: MemoryLog(1))
    monkeypatch.setattr("flux_actors.limits.log_look_s", 0.001)
    monkeypatch.setattr("flux_actors.log.telling.NatsBus", lambda *_: MemoryBus())
    monkeypatch.setattr(ray_connectors, "_RETRY_S", 0.0)
    return around


class TestActor:
    async def test_it_opens_once_and_runs_what_is_configured(self, around):
        await around.place()
        await (await around.store()).change("home", lambda c: c.update(gone=Configured("r1")))
        process = ConnectorsProcess()
        await asyncio.gather(process.open(ACCESS, PLAN), process.open(ACCESS, PLAN))
        assert around.connects == 1
        await process.refresh()
        assert (await process.status())["gone"].failing
        assert await process.pid() == os.getpid()
        await process.drain()
        assert await process.status() == {}

    async def test_until_then_it_says_so(self, around):
        process = ConnectorsProcess()
        for ask in (process.pid, process.refresh, process.status):
            with pytest.raises(Unavailable, match="still opening"):
                await ask()
        await process.drain()

    async def test_a_log_without_partitions_is_not_opened(self, around):
        with pytest.raises(Unavailable, match="not placed"):
            await ConnectorsProcess().open(ACCESS, PLAN)

    async def test_one_that_the_log_has_shut_out_for_good_asks_to_be_replaced(self, around):
        await around.place()
        process = ConnectorsProcess()
        await process.open(ACCESS, PLAN)
        around.client.is_closed = True
        with pytest.raises(Unavailable, match="closed by the server"):
            await process.pid()
        await process.drain()

    async def test_it_leaves_a_log_that_has_a_next_generation(self, around):
        await around.place()
        process = ConnectorsProcess()
        await process.open(ACCESS, PLAN)
        registry = await around.bucket(None, REGISTRY_BUCKET, 1)
        await registry.put(LOG_KEY, encode(LogRegistry("next", 2, generation=2)))
        async with asyncio.timeout(5):
            while not around.client.is_closed:  # noqa: ASYNC110 - it does not tell
                await asyncio.sleep(0.001)
        with pytest.raises(Unavailable):
            await process.pid()
        await process.drain()


class FakeHost:
    """Actors that live."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def __getattr__(self, what: str) -> Any:
        async def act(namespace: str) -> bool:
            self.done.append((what, namespace))
            return True

        return act


@pytest.fixture
def host(monkeypatch) -> FakeHost:
    host = FakeHost()
    monkeypatch.setattr(ray_connectors, "RayConnectors", lambda *_: host)
    return host


class TestKeeper:
    async def test_it_opens_without_being_asked_and_starts_what_is_configured(self, around, host):
        around.connects_to_fail = 2
        await (await around.store()).change("home", lambda c: c.update(github=Configured("r1")))
        process = KeeperProcess(ACCESS, ConnectorsPlan((NEW,), True, "https://x", 1, False))
        async with asyncio.timeout(5):
            while await process.namespaces() != ["home"]:  # noqa: ASYNC110 - nobody tells that it has looked
                await asyncio.sleep(0)
        await settle()
        assert ("start", "home") in host.done
        await process.changed("home")
        assert ("refresh", "home") in host.done
        await process.drain()
        assert host.done[-1] == ("end", "home")

    async def test_it_seals_anew_what_is_under_an_older_key(self, around, host, lines):
        store = await around.store()
        sealed = Configured("r1", Vault([OLD]).of("home").seal("github", "t0ken"))
        await store.change("home", lambda c: c.update(github=sealed))
        process = KeeperProcess(ACCESS, ConnectorsPlan((NEW, OLD), True, "https://x", 1, False))
        await process.namespaces()
        fresh = (await store.record("home")).connectors["github"].sealed
        assert Vault([NEW]).of("home").open("github", fresh or "") == "t0ken"
        await process.drain()

    async def test_one_that_never_opened_can_be_ended(self, around, host):
        around.connects_to_fail = 10**9
        process = KeeperProcess(ACCESS, ConnectorsPlan((), True, "https://x", 1, False))
        await settle()
        await process.drain()
        assert host.done == []
