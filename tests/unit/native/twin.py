"""Users of Flux on twins: a real shard over an in-memory log, on the loop of a thread as in a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from flux_actors.domain.partitioning import Partitioning
from flux_actors.feed.shard_calls import ShardCalls
from flux_actors.log.connection import NatsAccess
from flux_actors.log.memory import MemoryBus, MemoryLog
from flux_actors.native.aio import AsyncFlux
from flux_actors.native.asking import Asking
from flux_actors.native.core import Core
from flux_actors.native.flux import Flux
from flux_actors.native.following import Following
from flux_actors.native.link import Link
from flux_actors.native.loop_thread import LoopThread
from flux_actors.native.session import Session
from flux_actors.native.standing import Standing
from flux_actors.native.ticket import Ticket
from flux_actors.router.introductions import Introduction
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.snapshot.memory import MemorySnapshotStore
from flux_actors.tenancy.namespace import Scope
from flux_actors.tenancy.principal import ANYONE, Principal

PARTITIONS = 3
RULE = Partitioning(PARTITIONS, frozenset({"wide"}))
ACCESS = NatsAccess("nats://nowhere", "user", "password")


def introduction(
    principal: Principal = ANYONE, good_for_s: float | None = None, *hidden: str
) -> Introduction:
    """Return what a router would tell."""
    return Introduction(ACCESS, PARTITIONS, RULE.spread, principal, 1, good_for_s, frozenset(hidden))


def holder(namespace: str, *scopes: Scope, prefix: str = "", expires_us: int | None = None) -> Principal:
    """Return the holder of a token, good for reading and writing if no scopes are named."""
    wanted = frozenset(scopes or (Scope.READ, Scope.WRITE))
    return Principal.holder(namespace, wanted, prefix, expires_us, "id")


class InPlace:
    """The way to one shard in this process, which can be away."""

    def __init__(self, shard: EntityShard) -> None:
        self.shard = shard
        self.before: Callable[[str], Awaitable[None]] | None = None

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:
        if self.before is not None:
            await self.before(method)
        return await getattr(self.shard, method)(*arguments)

    def owner(self, partition: int) -> str:
        return "shard"


class Twin:
    """A `Home`: everything that a user needs, in this process."""

    def __init__(self) -> None:
        self.thread = LoopThread("twin")
        self.introduction = introduction()
        self.asked = 0
        self.links: dict[Ticket, Link] = {}
        self.thread.run(self._up())

    async def _up(self) -> None:
        self.log, self.bus = MemoryLog(PARTITIONS), MemoryBus()
        self.shard = EntityShard(self.log, MemorySnapshotStore(), self.bus, PARTITIONS)
        self.shards = InPlace(self.shard)
        for partition in RULE.all():
            await self.shard.adopt(partition, 1)
        async with asyncio.timeout(5):
            while len(self.bus._services) < PARTITIONS:  # noqa: ASYNC110, SLF001 - until all of them answer
                await asyncio.sleep(0)

    async def link(self, ticket: Ticket) -> Link:
        if ticket not in self.links:
            following = Following(RULE, self.bus, self._way)
            standing = Standing(ticket, self.introduction, self._introduce)
            self.links[ticket] = Link(ticket, RULE, self.log, Asking(self.bus), following, standing)
        return self.links[ticket]

    def flux(self, ticket: Ticket | None = None) -> Flux:
        return Flux(Core(ticket or Ticket(), Session(), self))

    def aio(self, ticket: Ticket | None = None) -> AsyncFlux:
        return AsyncFlux(Core(ticket or Ticket(), Session(), self))

    def down(self) -> None:
        self.thread.run(self._down())
        self.thread.close()

    async def _down(self) -> None:
        for link in self.links.values():
            await link.close()
        await self.shard.drain()

    async def _way(self) -> ShardCalls:
        return self.shards

    async def _introduce(self) -> Introduction:
        self.asked += 1
        await asyncio.sleep(0)
        return self.introduction
