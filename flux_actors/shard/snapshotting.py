"""Making snapshots of a running partition, a slice at a time between two pulls."""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast

import structlog

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.shard.partition import HostedPartition
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.store import SnapshotSink, keep_newest

_log = structlog.get_logger(__name__)
_RETRY_S: Final = 30.0


class Snapshotter:
    """Decides when a partition is cut and carries the cut through."""

    def __init__(self, host: HostedPartition, first_in_s: float) -> None:
        self._host = host
        self._due_at = time.monotonic() + first_in_s
        self._events_at_last = host.state.events_total
        self._cut: Cut | None = None
        self._sink: SnapshotSink | None = None

    @property
    def busy(self) -> bool:
        """Whether a cut is under way."""
        return self._cut is not None

    async def step(self) -> None:
        """Begin a snapshot that is due, or write the next slice of the one under way."""
        try:
            if self._cut is not None:
                await self._slice(self._cut)
            elif self._is_due():
                self._begin()
        except Unavailable as error:
            self._give_up(error)

    async def finish(self) -> None:
        """Make a snapshot of the present state now, whatever is due."""
        try:
            if self._host.state.sequence > self._host.snapshot_sequence:
                self._abandon()
                self._begin()
            while self._cut is not None:
                await self._slice(self._cut)
                await asyncio.sleep(0)
        except Unavailable as error:
            self._give_up(error)

    def _is_due(self) -> bool:
        host = self._host
        if host.state.sequence == host.snapshot_sequence:
            return False
        grown = host.state.events_total - self._events_at_last
        return grown >= limits.snapshot_every_events or time.monotonic() >= self._due_at

    def _begin(self) -> None:
        host = self._host
        self._sink = host.store.begin(host.partition, host.state.sequence)
        self._cut = Cut(host.state, host.log_id)
        self._events_at_last = host.state.events_total
        self._due_at = time.monotonic() + limits.snapshot_every_s

    async def _slice(self, cut: Cut) -> None:
        sink = cast("SnapshotSink", self._sink)
        data = cut.next_slice()
        if data is not None:
            sink.write(data)
            return
        await asyncio.to_thread(sink.commit)
        self._sink = self._cut = None
        self._host.snapshot_sequence = cut.sequence
        await asyncio.to_thread(keep_newest, self._host.store, self._host.partition, limits.snapshots_kept)
        _log.info("snapshot.kept", partition=self._host.partition, sequence=cut.sequence)

    def _abandon(self) -> None:
        if self._cut is not None:
            self._cut.abandon()
        if self._sink is not None:
            self._sink.abort()
        self._cut = self._sink = None

    def _give_up(self, error: Unavailable) -> None:
        _log.error("snapshot.failed", partition=self._host.partition, reason=error.message)
        self._abandon()
        self._due_at = time.monotonic() + _RETRY_S
