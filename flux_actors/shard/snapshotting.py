"""Making snapshots of a running partition beside its loop.

Between two pulls a step encodes slices for a few milliseconds, never longer; what they made is written by
a thread meanwhile, and so is the last flush to disk. So the longest time that events have to wait for a
snapshot is that of one step, or of beginning the cut. It is measured, and told with every snapshot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.places.place import Sink
from flux_actors.shard.partition import HostedPartition
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.store import keep_newest

_log = structlog.get_logger(__name__)
_RETRY_S: Final = 30.0


class _UnderWay:
    """A snapshot in the making."""

    def __init__(self, cut: Cut, sink: Sink, entities: int, began_at: float) -> None:
        self.cut = cut
        self.sink = sink
        self.entities = entities
        self.began_at = began_at
        self.pause_s_max = 0.0
        self.size = 0
        self.writing: asyncio.Future[None] | None = None  # what a thread does for it
        self.encoded = False  # all slices were made: the thread commits

    def hand_over(self, work: Callable[..., None], *arguments: object) -> None:
        """Have a thread do the next work; the one before must be done."""
        self.writing = asyncio.ensure_future(asyncio.to_thread(work, *arguments))


class Snapshotter:
    """Decides when a partition is cut and carries the cut through."""

    def __init__(self, host: HostedPartition, first_in_s: float) -> None:
        self._host = host
        self._due_at = time.monotonic() + first_in_s
        self._events_at_last = host.state.events_total
        self._under_way: _UnderWay | None = None

    @property
    def busy(self) -> bool:
        """Whether a snapshot is under way."""
        return self._under_way is not None

    @property
    def encoding(self) -> bool:
        """Whether a snapshot under way needs more steps soon."""
        return self._under_way is not None and not self._under_way.encoded

    async def step(self) -> None:
        """Begin a snapshot that is due, or go on with the one under way; wait for no disk."""
        started = time.monotonic()
        try:
            if self._under_way is None:
                if not self._is_due():
                    return
                self._begin()
            else:
                self._go_on(self._under_way)
        except Unavailable as error:
            self._give_up(error)
        if self._under_way is not None:
            pause_s = time.monotonic() - started
            self._under_way.pause_s_max = max(self._under_way.pause_s_max, pause_s)
            self._host.times.pause_s.observe(pause_s)

    async def written(self) -> None:
        """Return when the thread has nothing to do; the next step sees how that ended."""
        if self._under_way is not None and self._under_way.writing is not None:
            await asyncio.wait([self._under_way.writing])

    async def finish(self) -> None:
        """Make a snapshot of the present state now, whatever is due."""
        host = self._host
        if self.encoding:
            await self.written()
            self._abandon()
        await self._carry_through()
        if host.state.sequence > host.snapshot_sequence:
            try:
                self._begin()
            except Unavailable as error:
                self._give_up(error)
        await self._carry_through()

    async def _carry_through(self) -> None:
        while self._under_way is not None:
            await self.written()
            await self.step()

    def _is_due(self) -> bool:
        host = self._host
        if host.state.sequence == host.snapshot_sequence or host.state.witness is not None:
            return False  # nothing new, or a digest is being made: that takes seconds
        grown = host.state.events_total - self._events_at_last
        return grown >= limits.snapshot_every_events or time.monotonic() >= self._due_at

    def _begin(self) -> None:
        host = self._host
        sink = host.store.begin(host.partition, host.state.sequence)
        began_at = time.monotonic()
        self._under_way = _UnderWay(Cut(host.state, host.log_id), sink, len(host.state.entities), began_at)
        self._events_at_last = host.state.events_total
        self._due_at = began_at + limits.snapshot_every_s

    def _go_on(self, snapshot: _UnderWay) -> None:
        if snapshot.writing is not None:
            if not snapshot.writing.done():
                return
            snapshot.writing.result()
            if snapshot.encoded:
                self._kept(snapshot)
                return
        data = _slices(snapshot.cut)
        if data is not None:
            snapshot.size += len(data)
            snapshot.hand_over(snapshot.sink.write, data)
        else:
            snapshot.encoded = True
            snapshot.hand_over(self._commit, snapshot.sink)

    def _commit(self, sink: Sink) -> None:
        sink.commit()
        keep_newest(self._host.store, self._host.partition, limits.snapshots_kept)

    def _kept(self, snapshot: _UnderWay) -> None:
        self._under_way = None
        self._host.snapshot_sequence = snapshot.cut.sequence
        self._host.snapshot_kept.set()
        took_s = time.monotonic() - snapshot.began_at
        self._host.counts.kept(snapshot.size)
        self._host.times.snapshot_s.observe(took_s)
        _log.info(
            "snapshot.kept",
            partition=self._host.partition,
            sequence=snapshot.cut.sequence,
            entities=snapshot.entities,
            bytes=snapshot.size,
            seconds=round(took_s, 3),
            pause_ms_max=round(snapshot.pause_s_max * 1_000, 1),
        )

    def _abandon(self) -> None:
        if self._under_way is not None:
            self._under_way.cut.abandon()
            self._under_way.sink.abort()
        self._under_way = None

    def _give_up(self, error: Unavailable) -> None:
        _log.error("snapshot.failed", partition=self._host.partition, reason=error.message)
        self._host.counts.snapshot_failures += 1
        self._abandon()
        self._due_at = time.monotonic() + _RETRY_S


def _slices(cut: Cut) -> bytes | None:
    """Return the bytes of as many slices as fit into a step, `None` when all were returned."""
    until = time.monotonic() + limits.snapshot_step_s
    parts: list[bytes] = []
    while (data := cut.next_slice()) is not None:
        parts.append(data)
        if time.monotonic() >= until:
            break
    return b"".join(parts) if parts else None
