"""Retention: the front of a partition's log is forgotten when it is too old or too much, and not needed.

Not needed is what comes before the end of the oldest kept snapshot, as soon as all three are kept: whichever
of them a recovery falls back to, the log goes on behind it. That snapshot is verified before the first block
that it stands for is forgotten. From then on a snapshot is more than a short cut: without any, the partition
stops.

Sizes are told by the log for all blocks together, so how many have to go is an estimate, which the next look
corrects. All this runs beside the loop of the partition, and what takes long is done elsewhere.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
import structlog

from flux_actors import limits
from flux_actors.errors import Corrupt, FluxError
from flux_actors.log.block import clock_of
from flux_actors.log.ports import EventLog, LogBounds
from flux_actors.shard.partition import HostedPartition
from flux_actors.snapshot.codec import read_header, verify_snapshot
from flux_actors.snapshot.store import SnapshotStore

_log = structlog.get_logger(__name__)
_SECOND_US: Final = 1_000_000


class Retention(NamedTuple):
    """What an operator set; `None` means no bound."""

    age_s: int | None = None  # of a block, by its clock
    bytes_max: int | None = None

    def share(self, partitions: int) -> Retention:
        """Return what one of the partitions of a log may keep."""
        return self._replace(bytes_max=None if self.bytes_max is None else self.bytes_max // partitions)

    @property
    def bounded(self) -> bool:
        """Whether anything is ever forgotten."""
        return self.age_s is not None or self.bytes_max is not None


FOR_EVER: Final = Retention()


class LogFacts(msgspec.Struct, array_like=True, frozen=True):
    """What a partition's log holds, and what a trim would leave of it; times in microseconds since 1970."""

    partition: int
    blocks: int
    size_bytes: int
    first: int
    last: int
    first_us: int | None
    last_us: int | None
    snapshots: list[int]  # newest first
    oldest_us: int | None  # the log's time at the end of the oldest snapshot
    keeps_from: int  # the first block that a trim would keep now


encode_facts = msgspec.msgpack.Encoder().encode
decode_facts = msgspec.msgpack.Decoder(LogFacts).decode


class Trimmer:
    """Forgets what one partition's log need not hold."""

    def __init__(self, log: EventLog, store: SnapshotStore, partition: int, retention: Retention) -> None:
        self._log = log
        self._store = store
        self._partition = partition
        self._retention = retention
        self._verified: int | None = None  # the snapshot that was found whole

    async def trim(self, log_id: str) -> int:
        """Forget the front of the log and return how many blocks that were.

        Raises:
            Unavailable: the log or the snapshots cannot be reached.
            Corrupt: the oldest snapshot is damaged, or one of another log.
        """
        bounds = await self._log.bounds(self._partition)
        kept = await self._snapshots()
        first = await self.keeps_from(bounds, kept)
        if first <= bounds.first or bounds.log_id != log_id:
            return 0
        await self._verify(kept[-1], log_id)
        await self._log.forget(self._partition, first)
        _log.info(
            "log.trimmed",
            partition=self._partition,
            first=first,
            blocks=first - bounds.first,
            snapshot=kept[-1],
        )
        return first - bounds.first

    async def keeps_from(self, bounds: LogBounds, snapshots: list[int]) -> int:
        """Return the first block that a trim would keep."""
        if len(snapshots) < limits.snapshots_kept:
            return bounds.first
        end = min(snapshots[-1], bounds.last) + 1
        wanted = max(await self._young_from(bounds.first, end), await self._small_from(bounds.first))
        return max(bounds.first, min(wanted, end))

    async def facts(self) -> LogFacts:
        """Return what the log holds."""
        bounds = await self._log.bounds(self._partition)
        usage = await self._log.usage(self._partition)
        snapshots = await self._snapshots()
        filled = bounds.first <= bounds.last
        return LogFacts(
            self._partition,
            usage.blocks,
            usage.size_bytes,
            bounds.first,
            bounds.last,
            await self._clock_us(bounds.first) if filled else None,
            await self._clock_us(bounds.last) if filled else None,
            snapshots,
            await asyncio.to_thread(self._time_of, snapshots[-1]) if snapshots else None,
            await self.keeps_from(bounds, snapshots),
        )

    async def _snapshots(self) -> list[int]:
        return await asyncio.to_thread(self._store.sequences, self._partition)

    async def _young_from(self, first: int, end: int) -> int:
        """Return the first block in front of `end` that is young enough, `end` if none is."""
        if self._retention.age_s is None:
            return first
        cutoff_us = time.time_ns() // 1_000 - self._retention.age_s * _SECOND_US
        while first < end:
            middle = (first + end - 1) // 2
            clock_us = await self._clock_us(middle)
            if clock_us is None or clock_us >= cutoff_us:
                end = middle
            else:
                first = middle + 1
        return end

    async def _small_from(self, first: int) -> int:
        """Return the first block of so many that they fit, as far as the mean size tells."""
        if self._retention.bytes_max is None:
            return first
        usage = await self._log.usage(self._partition)
        excess_bytes = usage.size_bytes - self._retention.bytes_max
        if excess_bytes <= 0:
            return first
        return first + math.ceil(excess_bytes * usage.blocks / usage.size_bytes)

    async def _clock_us(self, sequence: int) -> int | None:
        """Return the clock of a block, `None` of a message that is none or is gone by now."""
        try:
            data = await self._log.block(self._partition, sequence)
        except Corrupt:
            return None
        return clock_of(data)

    def _time_of(self, snapshot: int) -> int | None:
        try:
            return read_header(self._store.read(self._partition, snapshot)).clock_us
        except Corrupt:
            return None

    async def _verify(self, snapshot: int, log_id: str) -> None:
        if self._verified != snapshot:
            await asyncio.to_thread(self._check, snapshot, log_id)
            self._verified = snapshot

    def _check(self, snapshot: int, log_id: str) -> None:
        header = read_header(self._store.read(self._partition, snapshot))
        if (header.log_id, header.partition, header.sequence) != (log_id, self._partition, snapshot):
            raise Corrupt(f"snapshot {snapshot} of partition {self._partition} belongs to another log")
        verify_snapshot(self._store.read(self._partition, snapshot))


async def keep_trimmed(host: HostedPartition, retention: Retention) -> None:
    """Trim the log of a running partition now and then, and whenever a snapshot was kept, until cancelled."""
    trimmer = Trimmer(host.log, host.store, host.partition, retention)
    while True:
        host.snapshot_kept.clear()
        try:
            await trimmer.trim(host.log_id)
        except FluxError as error:
            _log.warning("log.not_trimmed", partition=host.partition, reason=error.message)
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.trim_every_s):  # wait_for may lose that it is cancelled
                await host.snapshot_kept.wait()
