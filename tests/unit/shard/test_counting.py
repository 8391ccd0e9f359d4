"""What a shard counts: times of all its partitions together, everything else for each."""

from __future__ import annotations

from flux_actors.log.memory import MemoryBus, MemoryLog
from flux_actors.shard.counting import PartitionCounts, ShardTimes
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.snapshot.memory import MemorySnapshotStore


async def test_partitions_of_a_shard_share_its_times_and_no_counts():
    shard = EntityShard(MemoryLog(2), MemorySnapshotStore(), MemoryBus(), 2)
    await shard.adopt(0, 1)
    await shard.adopt(1, 1)
    first, second = shard.hosts()
    assert first.times is second.times is shard.times
    assert first.counts is not second.counts
    await shard.drain()


def test_all_begin_at_nothing():
    counts = PartitionCounts()
    assert all(getattr(counts, name) == 0 for name in PartitionCounts.__slots__)
    times = ShardTimes()
    assert all(sum(getattr(times, name).counts) == 0 for name in ShardTimes.__slots__)
