"""The link of a process to Flux: what one ticket has of it, on the loop of Flux's thread."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from nats.aio.client import Client

from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.feed.shard_calls import RayShardCalls, ShardCalls
from flux_actors.log.bus import NatsBus
from flux_actors.log.committer import Committer
from flux_actors.log.connection import connect
from flux_actors.log.event_ids import EventIds
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.log.ports import EventLog
from flux_actors.log.sites import at_site
from flux_actors.native.asking import Asking
from flux_actors.native.following import Following
from flux_actors.native.reading import Reading
from flux_actors.native.standing import Introduce, Standing
from flux_actors.native.ticket import Ticket
from flux_actors.router.introductions import Introduction
from flux_actors.router.names import RAY_NAMESPACE
from flux_actors.router.succession import Succession, registered
from flux_actors.router.topology import REGISTRY_BUCKET, TOPOLOGY_BUCKET, TOPOLOGY_KEY, decode_topology

_CONNECT_S: Final = 10.0


@dataclass(slots=True)
class Link:
    """The parts of one link; a twin of each makes one without a cluster."""

    ticket: Ticket
    partitioning: Partitioning
    log: EventLog
    asking: Asking
    following: Following
    standing: Standing
    client: Client | None = None
    ids: EventIds = field(default_factory=EventIds)
    reading: Reading = field(init=False)
    _committers: dict[int, Committer] = field(default_factory=dict)
    _leaving: asyncio.Task[None] | None = None
    _identity: int = field(default_factory=lambda: secrets.randbits(63))

    def __post_init__(self) -> None:
        """Put together what stands on the other parts alone."""
        self.reading = Reading(self.partitioning, self.asking)

    @property
    def usable(self) -> bool:
        """Whether the log has not shut it out for good."""
        return self.client is None or not self.client.is_closed

    def committer(self, partition: int) -> Committer:
        """Return the committer of a partition."""
        found = self._committers.get(partition)
        if found is None:
            found = Committer(self.log, partition, self._identity, _now_us)
            self._committers[partition] = found
        return found

    def follow(self, succession: Succession) -> None:
        """Be of no more use once the log has a next generation: whoever needs a link opens another one."""
        self._leaving = asyncio.create_task(self._leave(succession))

    async def _leave(self, succession: Succession) -> None:
        await succession.wait()
        self.following.ended = Unavailable("the log was repartitioned; open this again")
        for committer in self._committers.values():
            committer.give_up()
        await asyncio.gather(*(committer.close() for committer in self._committers.values()))
        if self.client is not None:
            await self.client.close()

    async def close(self) -> None:
        """Let what is under way finish, and let go of everything."""
        if self._leaving is not None:
            self._leaving.cancel()
        await self.standing.close()
        await asyncio.gather(*(committer.close() for committer in self._committers.values()))
        await self.following.close()
        await self.reading.close()
        if self.client is not None:
            await self.client.close()


async def open_link(ticket: Ticket, introduction: Introduction, introduce: Introduce) -> Link:
    """Connect to the log, as the router has told.

    Raises:
        Refused: the ticket is for another namespace than its token. Unavailable: the log cannot be reached.
    """
    standing = Standing(ticket, introduction, introduce)
    client = await connect(introduction.access, "flux-native", _CONNECT_S)
    rule = introduction.partitioning

    async def open_shards() -> ShardCalls:
        bucket = await JetStreamKeyValue.open(client, TOPOLOGY_BUCKET, introduction.log_replicas)
        store = at_site(bucket, introduction.access.site)
        stored = await store.get(TOPOLOGY_KEY)
        if stored is None:
            raise Unavailable("the router has not placed the partitions yet; try again in a second")
        shards = RayShardCalls(store, decode_topology(stored.value), RAY_NAMESPACE)
        shards.start()
        return shards

    bus = NatsBus(client, introduction.access.site)
    following = Following(rule, bus, open_shards)
    log = JetStreamLog(client, introduction.generation)
    link = Link(ticket, rule, log, Asking(bus), following, standing, client)
    registry = await JetStreamKeyValue.open(client, REGISTRY_BUCKET, introduction.log_replicas)
    known = await registered(registry)
    if known is None or known.generation != introduction.generation:
        await client.close()
        raise Unavailable("the log is being repartitioned; try again in a second")
    link.follow(Succession(registry, known))
    return link


def _now_us() -> int:
    return time.time_ns() // 1_000
