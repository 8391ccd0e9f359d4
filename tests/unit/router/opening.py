"""The twins of all that a NamespaceRouter opens, and one that ends with its test."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from flux_actors.behaviour.code_store import MemoryCodeStore
from flux_actors.domain.entity_id import DIRECTORY_ID
from flux_actors.errors import Unavailable
from flux_actors.log.block import decode_block, has_control
from flux_actors.log.connection import NatsAccess
from flux_actors.log.memory import MemoryBus, MemoryGenerations, MemoryKeyValue, MemoryLog
from flux_actors.router import namespace_router
from flux_actors.router.namespace_router import NamespaceRouter
from flux_actors.router.plan import RouterPlan
from tests.unit.router.fake_shards import FakeShards


class CreatedLog(MemoryLog):
    """A log whose streams are made when the router says so."""

    created: tuple[int, int] | None = None

    async def create(self, partitions: int, log_id: str, replicas: int) -> None:
        self.created = (partitions, replicas)


class Surroundings:
    """The twins of all that a router opens."""

    def __init__(self) -> None:
        self.log = CreatedLog(8)
        self.logs: dict[int, MemoryLog] = {1: self.log, 2: CreatedLog(8, generation=2)}
        self.shards = FakeShards()
        self.buckets: dict[str, MemoryKeyValue] = {}
        self.code = MemoryCodeStore()
        self.connects_to_fail = 0
        self.connects = 0

    async def connect(self, access: NatsAccess, name: str) -> object:
        self.connects += 1
        if self.connects_to_fail:
            self.connects_to_fail -= 1
            raise Unavailable("cannot reach NATS")
        return object()

    async def bucket(self, client: object, name: str, replicas: int) -> MemoryKeyValue:
        return self.buckets.setdefault(name, MemoryKeyValue())

    async def code_store(self, client: object, replicas: int) -> MemoryCodeStore:
        return self.code

    async def directories(self) -> list[dict[str, object]]:
        """Return the properties of every directory event in the log."""
        found = []
        for partition in range(8):
            for sequence in range(1, (await self.log.bounds(partition)).last + 1):
                events = decode_block(await self.log.block(partition, sequence)).events
                found += [event.properties for event in events if event.entity_id == DIRECTORY_ID]
        return found

    async def controls(self) -> list[int]:
        """Return how many control events each partition has."""
        found = []
        for partition in range(4):
            last = (await self.log.bounds(partition)).last
            blocks = [await self.log.block(partition, sequence) for sequence in range(1, last + 1)]
            found.append(sum(map(has_control, blocks)))
        return found

    async def published(self, count: int) -> dict[str, object]:
        """Return the newest directory once there are `count`."""
        async with asyncio.timeout(5):
            while len(await self.directories()) < count:  # noqa: ASYNC110 - the log is asked, it does not tell
                await asyncio.sleep(0)
        return (await self.directories())[-1]


def surrounded(monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    """Have a NamespaceRouter open twins."""
    around = Surroundings()
    monkeypatch.setattr(namespace_router, "connect", around.connect)
    monkeypatch.setattr(namespace_router, "JetStreamLog", lambda _, generation: around.logs[generation])
    generations = MemoryGenerations(around.logs)
    monkeypatch.setattr(namespace_router, "JetStreamGenerations", lambda _: generations)
    monkeypatch.setattr("flux_actors.limits.log_look_s", 0.001)
    monkeypatch.setattr(namespace_router, "JetStreamKeyValue", SimpleNamespace(open=around.bucket))
    monkeypatch.setattr(namespace_router, "JetStreamCodeStore", SimpleNamespace(open=around.code_store))
    monkeypatch.setattr(namespace_router, "RayShards", lambda *_: around.shards)
    monkeypatch.setattr("flux_actors.log.telling.NatsBus", lambda *_: MemoryBus())
    monkeypatch.setattr(namespace_router, "_DIRECTORY_S", 0.001)
    monkeypatch.setattr(namespace_router, "_RETRY_S", 0.001)
    monkeypatch.setattr("flux_actors.limits.catalogue_look_s", 0.001)
    monkeypatch.setattr("flux_actors.router.router._WATCH_S", 0.001)
    return around


@asynccontextmanager
async def routing(partitions=4, shards=1, **more):
    """A router that ends with the test."""
    plan = RouterPlan("somebody", "snapshots", shards, partitions, frozenset(), 1, **more)
    router = NamespaceRouter(NatsAccess("nats://nowhere"), plan)
    try:
        yield router
        await router.drain()
    finally:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
