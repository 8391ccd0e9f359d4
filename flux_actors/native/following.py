"""A process's place in the feed, begun when somebody needs it: to watch, or to hear what was decided."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from flux_actors import limits
from flux_actors.domain.change import UnreadChange
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import Packed
from flux_actors.errors import FluxError
from flux_actors.feed.decisions import unknown
from flux_actors.feed.feeds import Feeds, PartitionFeed
from flux_actors.feed.shard_calls import ShardCalls
from flux_actors.log.ports import Bus

_CALL_S: Final = 0.2


class Listener(Protocol):
    """Hears what the feed brings of everything."""

    def on_changes(self, changes: list[UnreadChange]) -> None:
        """Changes of one partition in log order."""
        ...

    def on_lost(self, partition: int, rows: list[EntityRow]) -> None:
        """Changes of a partition were lost; `rows` are all entities changed since, as they are now."""
        ...


class Following:
    """The feeds of all partitions, for many listeners."""

    def __init__(
        self,
        partitioning: Partitioning,
        bus: Bus,
        open_shards: Callable[[], Awaitable[ShardCalls]],
    ) -> None:
        self.partitioning = partitioning
        self.parts = [PartitionFeed(partition) for partition in partitioning.all()]
        self._bus = bus
        self._open_shards = open_shards
        self._opening = asyncio.Lock()
        self._shards: ShardCalls | None = None
        self._feeds: Feeds | None = None
        self._listeners: list[Listener] = []
        self.ended: FluxError | None = None  # why nothing comes any more

    @property
    def listens(self) -> bool:
        """Whether anybody wants to know of changes."""
        return bool(self._listeners)

    async def open(self) -> ShardCalls:
        """Return the way to the shards once the feeds are heard.

        Raises:
            Unavailable: the log or the topology cannot be reached.
        """
        async with self._opening:
            if self._feeds is None or self._shards is None:
                shards = self._shards = self._shards or await self._open_shards()
                feeds = Feeds(self.parts, self._bus, shards, self, _nobody)
                await feeds.open()
                await feeds.ask_for_places()
                self._feeds = feeds
            return self._shards

    def add(self, listener: Listener) -> None:
        """Have somebody hear all changes from here on."""
        self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        """Have somebody hear no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def refused(self, partition: int, position: Packed, timeout_s: float) -> bool:
        """Return whether an event was refused when it was applied.

        Raises:
            Unavailable: that is not known, or not yet.
        """
        part = self.parts[partition]
        await part.reached(position >> limits.offset_bits, timeout_s)
        refused = part.verdicts.refused(position)
        if refused is None:
            raise unknown()
        return refused

    def on_changes(self, changes: list[UnreadChange]) -> None:
        """Hand on what the feed brings."""
        for listener in tuple(self._listeners):
            listener.on_changes(changes)

    def on_lost(self, partition: int, rows: list[EntityRow]) -> None:
        """Hand on what is known of a loss."""
        for listener in tuple(self._listeners):
            listener.on_lost(partition, rows)

    async def close(self) -> None:
        """Follow no longer."""
        if self._feeds is not None:
            await self._feeds.close()
        stop = getattr(self._shards, "stop", None)
        if stop is not None:
            await stop()


def _nobody(sources: list[str]) -> None:
    """Nobody counts who publishes."""
