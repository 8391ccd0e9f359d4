"""A process of the cluster without a cluster: Flux's thread, and a link to a log in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.log.memory import MemoryBus, MemoryLog
from flux_actors.native.calls import Calls, NatsWire
from flux_actors.native.following import Following
from flux_actors.native.link import Link
from flux_actors.native.loop_thread import LoopThread
from flux_actors.native.standing import Standing
from flux_actors.native.ticket import Ticket
from flux_actors.router.introductions import Introduction
from flux_actors.tenancy.principal import ANYONE, Principal

RULE = Partitioning(2, frozenset({"wide"}))
PASSWORD = "a password"


@dataclass
class BatchHome:
    """A `Home` whose links all lead to one log."""

    log: MemoryLog = field(default_factory=lambda: MemoryLog(2))
    principal: Principal = ANYONE
    thread: LoopThread = field(default_factory=lambda: LoopThread("test"))
    links: dict[Ticket, Link] = field(default_factory=dict)

    async def link(self, ticket: Ticket) -> Link:
        if ticket not in self.links:
            access = NatsAccess("nats://nowhere", "flux", PASSWORD)
            told = Introduction(access, RULE.partitions, RULE.spread, self.principal, 1, None)

            async def introduce() -> Introduction:
                return told

            async def open_shards() -> None:
                raise Unavailable("there are no shards")

            following = Following(RULE, MemoryBus(), open_shards)
            standing = Standing(ticket, told, introduce)
            self.links[ticket] = Link(ticket, RULE, self.log, Calls(NatsWire(None)), following, standing)
        return self.links[ticket]
