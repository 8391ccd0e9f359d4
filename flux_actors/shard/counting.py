"""What a shard counts: per pull and per step of a snapshot, never per event."""

from __future__ import annotations

import time

from flux_actors.metering import table
from flux_actors.metering.instruments import Histogram


class ShardTimes:
    """How long things took on one shard, over all its partitions: one that leaves takes nothing away."""

    __slots__ = ("apply_s", "pause_s", "snapshot_s")

    def __init__(self) -> None:
        self.apply_s = Histogram(table.APPLY_SECONDS.bounds)
        self.pause_s = Histogram(table.SNAPSHOT_PAUSE.bounds)
        self.snapshot_s = Histogram(table.SNAPSHOT_SECONDS.bounds)


class PartitionCounts:
    """The counts of one host of a partition."""

    __slots__ = (
        "feed_failures",
        "recovery_s",
        "set_aside",
        "snapshot_at",
        "snapshot_bytes",
        "snapshot_failures",
        "snapshots",
    )

    def __init__(self) -> None:
        self.set_aside = 0  # events
        self.feed_failures = 0
        self.recovery_s = 0.0
        self.snapshots = 0
        self.snapshot_failures = 0
        self.snapshot_at = 0.0  # epoch seconds: when one was kept, or when the partition had recovered
        self.snapshot_bytes = 0

    def recovered(self, took_s: float) -> None:
        """Note a recovery: what it read is as good as a snapshot of this moment."""
        self.recovery_s, self.snapshot_at = took_s, time.time()

    def kept(self, size: int) -> None:
        """Count a snapshot."""
        self.snapshots += 1
        self.snapshot_at, self.snapshot_bytes = time.time(), size
