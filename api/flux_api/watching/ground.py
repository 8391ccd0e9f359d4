"""The ground that watching stands on: partitions, the feed's places, shards, the log.

`Ground` is the port; `DoorGround` is it on a door. What it answers says up to where it is true, so that it
can be joined with what the feed brings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

import structlog

from flux_actors import limits
from flux_actors.domain.change import Change
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.pattern import names, overlap, prefix_of
from flux_actors.errors import Refused, Unavailable
from flux_actors.feed.feeds import PartitionFeed
from flux_actors.feed.patience import patiently
from flux_actors.feed.shard_calls import ShardCalls
from flux_actors.log.ports import EventLog
from flux_actors.shard.reads import decode_recalled, decode_rows
from flux_api.view import LiveView

_log = structlog.get_logger(__name__)
_TRIES: Final = 6  # at the past, for which others wait as well: 3 s
_REACH_S: Final = 10.0
_OFFSET_MAX: Final = (1 << limits.offset_bits) - 1


class Base(NamedTuple):
    """Living entities in id order, as they were with all changes up to the position `as_of`.

    They are all that there are up to the id `end`; all to the last one where that is `None`.
    """

    as_of: int
    rows: list[EntityRow]
    end: str | None


class Recall(NamedTuple):
    """All changes behind a position in log order, up to the position `as_of`."""

    as_of: int
    changes: list[Change]


class Past(Protocol):
    """What the log remembers when the shards do not."""

    async def changes(self, partition: int, prefix: str, after: int, until_sequence: int) -> list[Change]:
        """Return the changes of ids with a prefix behind position `after` up to a sequence, in log order.

        Raises:
            Refused: the log no longer holds them, or they are too many.
            Unavailable: it cannot be read now.
        """
        ...

    def floors(self, partition: int) -> dict[str, int]:
        """Return from which position on namespaces are their present owners', of those that had others."""
        ...


class Ground(Protocol):
    """What watching asks of the rest of the door."""

    def partition_of(self, entity_id: str) -> int:
        """Return the partition of an entity."""
        ...

    def partitions_of(self, pattern: str) -> tuple[int, ...]:
        """Return the partitions that a pattern can concern."""
        ...

    def place(self, partition: int) -> int | None:
        """Return the sequence up to which the feed has been told, `None` before it has begun."""
        ...

    async def reached(self, partition: int, sequence: int) -> None:
        """Return when the feed has come to a sequence; raises `Unavailable` when that takes too long."""
        ...

    async def base(self, pattern: str, partition: int, after: str | None) -> Base:
        """Return the next entities of a pattern, at least as new as the feed.

        Raises:
            Unavailable: the shard is away, or not as far as the feed.
        """
        ...

    async def recall(self, pattern: str, partition: int, after: int) -> Recall | None:
        """Return what happened to a pattern's entities behind a position, at least up to the feed's place.

        `None` when nobody remembers all of it, or it is too much.

        Raises:
            Unavailable: the shard or the log is away.
        """
        ...


def end_of(sequence: int) -> int:
    """Return the last position of a block."""
    return sequence << limits.offset_bits | _OFFSET_MAX


class DoorGround:
    """`Ground` on the parts of a door."""

    def __init__(
        self,
        partitioning: Partitioning,
        parts: list[PartitionFeed],
        shards: ShardCalls,
        view: LiveView,
        log: EventLog,
        current: Callable[[], Awaitable[None]],
        past: Past | None = None,
    ) -> None:
        self._partitioning = partitioning
        self._parts = parts
        self._shards = shards
        self._view = view
        self._log = log
        self._current = current  # brings up to date what is known of tokens
        self._past = past
        self._calls = asyncio.Semaphore(limits.bases_at_once)

    def partition_of(self, entity_id: str) -> int:
        """Return the partition of an entity."""
        return self._partitioning.of_entity(entity_id)

    def partitions_of(self, pattern: str) -> tuple[int, ...]:
        """Return the partitions that a pattern can concern."""
        prefix = prefix_of(pattern)
        return (self.partition_of(pattern),) if prefix is None else self._partitioning.of_prefix(prefix)

    def place(self, partition: int) -> int | None:
        """Return the sequence up to which the feed has been told."""
        return self._parts[partition].sequence

    async def reached(self, partition: int, sequence: int) -> None:
        """Return when the feed has come to a sequence."""
        await self._parts[partition].reached(sequence, _REACH_S)

    async def base(self, pattern: str, partition: int, after: str | None) -> Base:
        """Return the next entities of a pattern: one from the live view, many from their shard."""
        await self._current()
        prefix = prefix_of(pattern)
        if prefix is None:
            entity = await self._view.get(pattern)
            rows = (
                [EntityRow(pattern, dict(entity.properties), entity.position, entity.updated_us)]
                if (entity.properties is not None)
                else []
            )
            return Base(entity.as_of, rows, None)
        place, data = await self._ask(partition, "rows", prefix, after)
        found = decode_rows(data)
        self._check(partition, found.sequence, place)
        return Base(end_of(found.sequence), found.rows, found.after)

    async def recall(self, pattern: str, partition: int, after: int) -> Recall | None:
        """Return what happened behind a position: from the shard's memory, else from the log."""
        await self._current()
        if self._had_another_owner(pattern, partition, after):
            return None
        most = limits.resume_changes_max
        place, data = await self._ask(partition, "recall", pattern, after, most)
        found = decode_recalled(data)
        self._check(partition, found.sequence, place)
        if after > end_of(found.sequence):
            bounds = await self._log.bounds(partition)
            return Recall(after, []) if after <= end_of(bounds.last) else None
        if found.changes is None:
            return await self._remembered(pattern, partition, after)
        return Recall(end_of(found.sequence), found.changes) if len(found.changes) <= most else None

    async def _ask(self, partition: int, method: str, *arguments: Any) -> tuple[int, bytes]:
        """Return where the feed was, and what a shard answered.

        Who does not wait any more leaves a shard that still works: its call counts until it is answered, else
        subscriptions that come and go would have any number of them under way.
        """
        await self._calls.acquire()
        place = self.place(partition) or 0
        call = asyncio.ensure_future(self._shards.call(partition, method, partition, *arguments))
        call.add_done_callback(self._answered)
        return place, await asyncio.shield(call)

    def _answered(self, call: asyncio.Future[bytes]) -> None:
        self._calls.release()
        if not call.cancelled():
            call.exception()  # of which nobody may want to hear any more

    def _had_another_owner(self, pattern: str, partition: int, after: int) -> bool:
        """Whether some of what happened since is another owner's: of that nobody is told."""
        floors = self._past.floors(partition) if self._past is not None else {}
        return any(floor > after and overlap(pattern, f"{name}/*") for name, floor in floors.items())

    async def _remembered(self, pattern: str, partition: int, after: int) -> Recall | None:
        """Return what the log tells of the time behind a position."""
        if self._past is None:
            return None
        place = self.place(partition) or 0
        prefix = prefix_of(pattern)
        try:
            begin = pattern if prefix is None else prefix
            found = await patiently(self._past.changes, partition, begin, after, place, tries=_TRIES)
        except (Refused, Unavailable) as error:
            _log.info("watch.not_remembered", pattern=pattern, partition=partition, reason=error.message)
            return None
        changes = [change for change in found if names(pattern, change.entity_id)]
        fits = len(changes) <= limits.resume_changes_max
        return Recall(max(after, end_of(place)), changes) if fits else None

    def _check(self, partition: int, sequence: int, place: int) -> None:
        if sequence < place:
            raise Unavailable(f"partition {partition} is being restarted; try again in a second")
