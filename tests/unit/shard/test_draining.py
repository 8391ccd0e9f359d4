"""Draining: a snapshot of the last state, so that the successor starts fast."""

from __future__ import annotations

from flux_actors.shard.draining import drain
from flux_actors.shard.snapshotting import Snapshotter
from tests.unit.shard.hosting import event, properties_of


async def test_the_successor_needs_no_block_of_the_log(hosting):
    await hosting.write(event("n/e", {"v": 1}))
    host = await hosting.recovered()
    await drain(host, Snapshotter(host, 1_000.0))
    assert hosting.store.sequences(0) == [1]
    hosting.log.trim(0, 2)
    assert properties_of(await hosting.recovered()) == {"n/e": {"v": 1}}


async def test_the_doors_are_told_the_last_place(hosting):
    await hosting.write(event("n/e", {"v": 1}))
    host = await hosting.recovered()
    await drain(host, Snapshotter(host, 1_000.0))
    assert [(message.sequence, message.changes) for message in hosting.heard] == [(1, [])]


async def test_an_unchanged_partition_leaves_no_second_snapshot(hosting):
    await hosting.write(event("n/e", {"v": 1}))
    await hosting.snapshot()
    hosting.store.delete(0, 1)
    host = await hosting.recovered()
    host.snapshot_sequence = 1
    await drain(host, Snapshotter(host, 1_000.0))
    assert hosting.store.sequences(0) == []
