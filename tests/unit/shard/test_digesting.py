"""The digest of a partition that goes on living: what it was at one sequence, or none."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.shard.digesting import digest_of
from flux_actors.shard.partition import Phase
from flux_actors.shard.snapshotting import Snapshotter
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.digest import DigestWriter, bucket_of, decode_digest
from tests.unit.shard.hosting import event


async def running(hosting, entities=30):
    await hosting.write(*(event(f"n/{number}", {"v": 1}) for number in range(entities)))
    host = await hosting.recovered()
    host.phase = Phase.RUNNING
    return host


async def grow(hosting, host, *events):
    await hosting.write(*events)
    reader = hosting.log.reader(hosting.partition, host.state.sequence)
    host.apply(await reader.pull(0), feed=False)


async def in_small_steps(monkeypatch):
    monkeypatch.setattr(limits, "snapshot_slice_entities", 2)
    monkeypatch.setattr(limits, "digest_step_s", 0.0000001)
    monkeypatch.setattr(limits, "digest_pause_s", 0.0)


def digest_at_rest(state):
    return decode_digest(b"".join(iter(Cut(state, "", DigestWriter).next_slice, None)))


async def test_it_is_of_the_moment_at_which_it_began(hosting, monkeypatch):
    await in_small_steps(monkeypatch)
    host = await running(hosting)
    asked = asyncio.create_task(digest_of(host, [], []))
    for value in range(5):
        await asyncio.sleep(0)
        await grow(hosting, host, event("n/29", {"v": value}), event(f"new/{value}", {"v": 1}))
        await host.relieve()
    found = decode_digest(await asked)
    other = await hosting.recovered()
    assert host.state.sequence == other.state.sequence == 6
    assert found.sequence == 1
    hosting.log.cut_off(0, 1)
    before = await hosting.recovered()
    expected = digest_at_rest(before.state)
    assert (found.buckets, found.rest, found.entities) == (expected.buckets, expected.rest, 30)
    assert found.history_positions == host.history_positions


async def test_entities_of_the_wanted_buckets_are_told(hosting):
    host = await running(hosting)
    found = decode_digest(await digest_of(host, [], [bucket_of("n/7")]))
    assert "n/7" in [name for name, _, _ in found.rows]
    assert decode_digest(await digest_of(host, ["n/7"], [])).entities == 29


async def test_snapshot_and_digest_wait_for_each_other(hosting, monkeypatch):
    await in_small_steps(monkeypatch)
    host = await running(hosting)
    snapshotter = Snapshotter(host, 0.0)
    await snapshotter.step()
    asked = asyncio.create_task(digest_of(host, [], []))
    await asyncio.sleep(0)
    assert snapshotter.busy
    while snapshotter.busy:
        await snapshotter.written()
        await snapshotter.step()
    assert read_snapshot(hosting.store.read(0, 1))[0].sequence == 1
    await grow(hosting, host, event("n/1", {"v": 2}))
    while host.state.witness is None:  # noqa: ASYNC110 - until the digest has its turn
        await asyncio.sleep(0)
    snapshotter._due_at = 0.0  # noqa: SLF001 - it is due, and must wait
    await snapshotter.step()
    assert not snapshotter.busy
    assert decode_digest(await asked).sequence == 2
    await snapshotter.step()
    assert snapshotter.busy


async def test_digest_of_a_partition_that_is_drained_meanwhile_is_none(hosting, monkeypatch):
    await in_small_steps(monkeypatch)
    host = await running(hosting)
    asked = asyncio.create_task(digest_of(host, [], []))
    await asyncio.sleep(0)
    assert host.state.witness is not None
    await Snapshotter(host, 1_000.0).finish()
    with pytest.raises(Unavailable, match="ended or moved"):
        await asked
    assert read_snapshot(hosting.store.read(0, 1))[1].known == 30


async def test_digest_that_nobody_waits_for_lets_snapshots_go_on(hosting, monkeypatch):
    await in_small_steps(monkeypatch)
    host = await running(hosting)
    asked = asyncio.create_task(digest_of(host, [], []))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert host.state.witness is None


async def test_partition_that_recovers_has_none(hosting):
    with pytest.raises(Unavailable, match="recovering"):
        await digest_of(hosting.host(), [], [])
