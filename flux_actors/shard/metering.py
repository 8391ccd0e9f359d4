"""What a shard tells of itself: each partition's place and lag, its snapshots, its behaviours.

How large the log is, only the log knows: it is asked now and then, beside everything, and the last answer
told.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from flux_actors import limits
from flux_actors.errors import FluxError
from flux_actors.log.ports import LogUsage
from flux_actors.metering import table
from flux_actors.metering.samples import Sample
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.shard.partition import HostedPartition, Phase

_SECOND_US: Final = 1_000_000
_LOOK_S: Final = 1.0  # for partitions that are new here


class ShardMeter:
    """Looks at the partitions of one shard."""

    def __init__(self, shard: EntityShard, snapshots: Path | None = None) -> None:
        self._shard = shard
        self._snapshots = snapshots
        self._usage: dict[int, LogUsage] = {}
        self._due: dict[int, float] = {}  # when each partition is asked for again
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to ask the log how large it is."""
        self._task = asyncio.create_task(self._ask())

    def end(self) -> None:
        """Ask no longer."""
        if self._task is not None:
            self._task.cancel()

    def samples(self) -> Iterator[Sample]:
        """Yield what there is to tell now; 15 µs per partition."""
        hosts = self._shard.hosts()
        now_s = time.time()
        for host in hosts:
            label = str(host.partition)
            yield from _of_place(host, label, now_s)
            yield from _of_snapshots(host, label)
            yield from _of_behaviours(host, label)
            usage = self._usage.get(host.partition)
            if usage is not None:
                yield table.LOG_BYTES.of(usage.size_bytes, label)
                yield table.LOG_BLOCKS.of(usage.blocks, label)
        times = self._shard.times
        yield table.APPLY_SECONDS.seen_by(times.apply_s)
        yield table.SNAPSHOT_PAUSE.seen_by(times.pause_s)
        yield table.SNAPSHOT_SECONDS.seen_by(times.snapshot_s)
        if self._snapshots is not None:
            yield table.SNAPSHOT_DISK_FREE.of(_free_bytes(self._snapshots))

    async def look(self) -> None:
        """Ask the log how large partitions are; one that cannot be asked keeps its last answer."""
        for host in self._shard.hosts():
            partition, now = host.partition, time.monotonic()
            if now >= self._due.get(partition, 0.0):
                self._due[partition] = now + limits.log_usage_s
                with suppress(FluxError):
                    self._usage[partition] = await host.log.usage(partition)
        hosted = {host.partition for host in self._shard.hosts()}
        self._usage = {partition: usage for partition, usage in self._usage.items() if partition in hosted}
        self._due = {partition: due for partition, due in self._due.items() if partition in hosted}

    async def _ask(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_S)


def _free_bytes(folder: Path) -> int:
    """Return the free space where a folder is, or will be: it is made with the first snapshot."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


def _of_place(host: HostedPartition, label: str, now_s: float) -> Iterable[Sample]:
    state, counts = host.state, host.counts
    lag_s = max(0.0, now_s - state.clock_us / _SECOND_US) if host.pending and state.clock_us else 0.0
    return (
        table.RUNNING.of(host.phase is Phase.RUNNING, label),
        table.STOPPED.of(host.phase is Phase.STOPPED, label),
        table.EPOCH.of(host.epoch, label),
        table.LAG_BLOCKS.of(host.pending, label),
        table.LAG_SECONDS.of(lag_s, label),
        table.POSITION.of(state.sequence, label),
        table.APPLIED.of(state.events_total, label),
        table.SET_ASIDE.of(counts.set_aside, label),
        table.FEED_FAILURES.of(counts.feed_failures, label),
        table.ENTITIES.of(state.alive, label),
        table.HOT_ENTITIES.of(len(state.entities), label),
        table.COLD_ENTITIES.of(state.known - len(state.entities), label),
        table.RECOVERY_SECONDS.of(counts.recovery_s, label),
    )


def _of_snapshots(host: HostedPartition, label: str) -> Iterable[Sample]:
    counts = host.counts
    return (
        table.SNAPSHOT_KEPT.of(counts.snapshot_at, label),
        table.SNAPSHOT_BEHIND.of(host.state.sequence - host.snapshot_sequence, label),
        table.SNAPSHOT_BYTES.of(counts.snapshot_bytes, label),
        table.SNAPSHOTS.of(counts.snapshots, label),
        table.SNAPSHOT_FAILURES.of(counts.snapshot_failures, label),
    )


def _of_behaviours(host: HostedPartition, label: str) -> Iterable[Sample]:
    acting, dispatcher = host.state.acting, host.dispatcher
    done, faults = (0, 0) if dispatcher is None else (dispatcher.notes.done, dispatcher.notes.faults)
    return (
        table.OUTBOX.of(len(acting.outbox), label),
        table.MAILBOX_DEPTH.of(acting.outbox.waiting_max, label),
        table.BEHAVIOURS_STOPPED.of(len(acting.stopped.keys() | acting.suspended.keys()), label),
        table.HANDLED.of(done, label),
        table.FAULTS.of(faults, label),
    )
