"""A follower's place in the feeds: every change once, in log order, with gaps seen and repaired.

Each partition's messages say after which sequence they begin and where they end. What is known already
is dropped, so a zombie shard or a second copy does no harm. A message that begins behind the door's
place shows a gap: the door keeps what arrives, asks the shard for what it missed, and goes on. When the
shard has it no longer, it gives all entities that changed since instead: nothing is silently lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from flux_actors import limits
from flux_actors.domain.change import HeardFeed, UnreadChange, decode_feed
from flux_actors.domain.entity import EntityRow
from flux_actors.errors import Unavailable
from flux_actors.feed.decisions import Verdicts
from flux_actors.feed.shard_calls import ShardCalls
from flux_actors.log.ports import Bus, Subscription, feed_subject
from flux_actors.shard.reads import Repair, decode_repair

_log = structlog.get_logger(__name__)
_RETRY_S: Final = 0.2
_SILENT_S: Final = 3 * limits.heartbeat_s
_BACKLOG_MAX: Final = 1_000


class FeedListener(Protocol):
    """Hears what the feed brings."""

    @property
    def listens(self) -> bool:
        """Whether changes concern anybody now; if not, they are not even decoded."""
        ...

    def on_changes(self, changes: list[UnreadChange]) -> None:
        """Changes in log order."""
        ...

    def on_lost(self, partition: int, rows: list[EntityRow]) -> None:
        """Changes of a partition were lost; `rows` are all entities changed since, as they are now."""
        ...


class PartitionFeed:
    """The door's place in one partition's feed."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.sequence: int | None = None  # unknown until the first message
        self.epoch = 0
        self.pending = 0
        self.events_total = 0
        self.entities = 0
        self.heard_at = float("-inf")
        self.repairing = False
        self.backlog: list[HeardFeed] = []
        self.verdicts = Verdicts()
        self.gaps = 0  # that had to be repaired
        self.losses = 0  # of them, those longer than the shard's ring
        self._waiters: dict[asyncio.Future[None], int] = {}

    @property
    def ready(self) -> bool:
        """Whether a living shard was heard lately and nothing is missing."""
        heard = asyncio.get_running_loop().time() - self.heard_at <= _SILENT_S
        return heard and self.sequence is not None and not self.repairing

    def reach(self, sequence: int) -> None:
        """Move on and wake those who waited for it."""
        self.sequence = sequence
        for waiter, target in list(self._waiters.items()):
            if target <= sequence and not waiter.done():
                waiter.set_result(None)

    async def reached(self, sequence: int, timeout_s: float) -> None:
        """Return when the feed has come to `sequence`; raises `Unavailable` after `timeout_s`."""
        if self.sequence is not None and self.sequence >= sequence:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = sequence
        try:
            await asyncio.wait_for(waiter, timeout_s)
        except TimeoutError:
            raise Unavailable(
                f"partition {self.partition} has not come to that position yet; try again in a second"
            ) from None
        finally:
            del self._waiters[waiter]


class Feeds:
    """All partitions' feeds of one door."""

    def __init__(
        self,
        parts: list[PartitionFeed],
        bus: Bus,
        shards: ShardCalls,
        listener: FeedListener,
        on_sources: Callable[[list[str]], None],
    ) -> None:
        self.parts = parts
        self._bus = bus
        self._shards = shards
        self._listener = listener
        self._on_sources = on_sources
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Subscribe to all feeds; each partition is in place after its first message."""
        for part in self.parts:
            subject = feed_subject(part.partition)
            self._subscriptions.append(await self._bus.subscribe(subject, self._receive))

    async def ask_for_places(self) -> None:
        """Have the shards tell their places now rather than with their next heartbeat."""
        owners = {self._shards.owner(part.partition): part.partition for part in self.parts}
        for partition in owners.values():
            try:
                await self._shards.call(partition, "announce")
            except Unavailable:
                continue  # it tells its place when it has recovered

    async def close(self) -> None:
        """Listen no longer."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        for task in self._tasks:
            task.cancel()

    async def _receive(self, data: bytes) -> None:
        message = decode_feed(data)
        part = self.parts[message.partition]
        part.heard_at = asyncio.get_running_loop().time()
        if part.repairing:
            part.backlog.append(message)
            del part.backlog[:-_BACKLOG_MAX]  # a gap in the backlog is repaired like any other
            return
        self._take(part, message)

    def _take(self, part: PartitionFeed, message: HeardFeed) -> None:
        if part.sequence is None:
            part.verdicts.lose(message.after)
            part.reach(message.after)
        place = part.sequence or 0
        if message.after > place:
            part.backlog.append(message)
            self._repair(part)
            return
        part.epoch = max(part.epoch, message.epoch)
        if message.sequence < place:
            return
        part.pending, part.events_total = message.pending, message.events_total
        part.entities = message.entities
        if message.sequence == place:
            return
        self._on_sources(message.sources)
        part.verdicts.hear(message.refused)
        if self._listener.listens:
            self._tell(message, place)
        part.reach(message.sequence)

    def _tell(self, message: HeardFeed, place: int) -> None:
        """Have the listener hear the changes behind `place`."""
        changes = message.changes
        if message.after != place:
            first = (place + 1) << limits.offset_bits
            changes = [change for change in changes if change.position >= first]
        if changes:
            self._listener.on_changes(changes)

    def _repair(self, part: PartitionFeed) -> None:
        part.repairing = True
        part.gaps += 1
        task = asyncio.create_task(self._close_gap(part))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close_gap(self, part: PartitionFeed) -> None:
        repair = await self._ask_for_repair(part)
        _log.info("feed.repaired", partition=part.partition, after=part.sequence, sequence=repair.sequence)
        part.repairing = False
        if repair.messages is None:
            part.losses += 1
            part.verdicts.lose(repair.sequence)
            self._listener.on_lost(part.partition, repair.rows)
            part.reach(repair.sequence)
        for message in repair.messages or []:
            self._take(part, decode_feed(message))
        backlog, part.backlog = part.backlog, []
        for number, kept in enumerate(backlog):
            self._take(part, kept)
            if part.repairing:
                part.backlog += backlog[number + 1 :]
                return

    async def _ask_for_repair(self, part: PartitionFeed) -> Repair:
        while True:
            try:
                return decode_repair(
                    await self._shards.call(part.partition, "repair", part.partition, part.sequence or 0)
                )
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
