"""The life of a partition: recovering, running, draining; stopped only by data that lies."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.shard import life as life_module
from flux_actors.shard.life import live
from flux_actors.shard.partition import Phase
from flux_actors.shard.snapshotting import Snapshotter
from tests.unit.shard.hosting import event, until


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.001)
    monkeypatch.setattr(life_module, "_RETRY_S", 0.001)


async def test_it_recovers_then_runs_then_leaves_a_snapshot(hosting):
    await hosting.write(event("n/e", {"v": 1}))
    host = hosting.host()
    life = asyncio.create_task(live(host, 2))
    assert host.phase is Phase.RECOVERING
    await until(lambda: host.phase is Phase.RUNNING)
    assert host.state.sequence == 1
    host.draining = True
    await life
    assert host.phase is Phase.DRAINING
    assert hosting.store.sequences(0) == [1]


async def test_it_waits_for_a_log_that_is_away(hosting, lines):
    hosting.log.away = True
    host = hosting.host()
    life = asyncio.create_task(live(host, 2))
    await until(lambda: sum(line["event"] == "partition.recovery_waits" for line in lines) > 2)
    assert host.phase is Phase.RECOVERING
    hosting.log.away = False
    await until(lambda: host.phase is Phase.RUNNING)
    host.draining = True
    await life


async def test_a_log_that_lies_at_the_start_stops_it_with_a_clear_error(hosting, lines):
    await hosting.write(event("n/e", {"v": 1}))
    await hosting.snapshot()
    hosting.log.cut_off(0, 0)
    host = hosting.host()
    await live(host, 2)
    assert host.phase is Phase.STOPPED
    assert "before its snapshot" in host.status().error
    assert [line["log_level"] for line in lines if line["event"] == "partition.stopped"] == ["critical"]


async def test_a_log_that_lies_later_stops_it_and_leaves_no_snapshot_of_the_guess(hosting):
    host = hosting.host()
    life = asyncio.create_task(live(host, 2))
    await until(lambda: host.phase is Phase.RUNNING)
    await hosting.write(event("n/e", {"v": 1}))
    await hosting.write(event("n/e", {"v": 2}))
    hosting.log.trim(0, 2)
    await life
    assert host.phase is Phase.STOPPED
    assert "no longer holds" in host.error
    assert hosting.store.sequences(0) == []


async def test_draining_ends_it_even_while_the_log_is_away(hosting, lines):
    hosting.log.away = True
    host = hosting.host()
    life = asyncio.create_task(live(host, 2))
    await until(lambda: any(line["event"] == "partition.recovery_waits" for line in lines))
    host.draining = True
    ended, _ = await asyncio.wait([life], timeout=10)
    life.cancel()
    assert ended


async def test_first_snapshots_of_the_partitions_are_spread_over_the_interval(hosting, monkeypatch):
    delays = []

    class Watched(Snapshotter):
        def __init__(self, host, first_in_s):
            delays.append(first_in_s)
            host.draining = True
            super().__init__(host, first_in_s)

    monkeypatch.setattr(life_module, "Snapshotter", Watched)
    for partition in (0, 1):
        hosting.partition = partition
        host = hosting.host()
        life = asyncio.create_task(live(host, 2))
        await until(lambda host=host: host.phase is Phase.RUNNING)
        host.draining = True
        await life
    assert delays == [limits.snapshot_every_s / 2, limits.snapshot_every_s * 3 / 4]
