"""What a shard tells of itself."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.log.block import encode_block, encode_event
from flux_actors.log.memory import MemoryBus, MemoryLog
from flux_actors.log.ports import LogUsage, StoredBlock
from flux_actors.metering import table
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.shard.metering import ShardMeter
from flux_actors.shard.partition import Phase
from flux_actors.snapshot.memory import MemorySnapshotStore
from tests.busy import busy
from tests.unit.shard.hosting import POISON, event, until

CLOCK_US = 1_000_000


@pytest.fixture
async def shard(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.001)
    shard = EntityShard(MemoryLog(2), MemorySnapshotStore(), MemoryBus(), 2)
    await shard.adopt(1, 3)
    (host,) = shard.hosts()
    await until(lambda: host.phase is Phase.RUNNING)
    yield shard
    await shard.drain()


def told(shard, meter=None):
    samples = (meter or ShardMeter(shard)).samples()
    return {(sample.name, *sample.labels): sample for sample in samples}


def value(shard, metric, *labels):
    return told(shard)[metric.name, *labels].value


async def test_it_tells_where_each_partition_is(shard):
    (host,) = shard.hosts()
    await host.log.append(1, encode_block(1, 1, CLOCK_US, [encode_event(event("n/e", {"a": 1}))]), "1", 1.0)
    await until(lambda: host.state.sequence == 1)
    found = {
        metric: value(shard, metric, "1")
        for metric in (
            table.RUNNING,
            table.STOPPED,
            table.EPOCH,
            table.POSITION,
            table.APPLIED,
            table.ENTITIES,
        )
    }
    assert list(found.values()) == [1, 0, 3, 1, 1, 1]
    assert value(shard, table.LAG_BLOCKS, "1") == value(shard, table.LAG_SECONDS, "1") == 0
    assert sum(told(shard)[table.APPLY_SECONDS.name,].counts) == 1


async def test_a_partition_that_lags_tells_how_old_its_state_is(shard):
    (host,) = shard.hosts()
    data = encode_block(1, 1, time.time_ns() // 1_000 - 30_000_000, [encode_event(event("n/e", {"a": 1}))])
    host.apply([StoredBlock(1, data, pending=7)], feed=False)
    assert value(shard, table.LAG_BLOCKS, "1") == 7
    assert 29 < value(shard, table.LAG_SECONDS, "1") < 30 + 2 * busy()


async def test_what_cannot_be_read_is_counted_for_good(shard):
    (host,) = shard.hosts()
    host.apply([StoredBlock(1, encode_block(1, 1, CLOCK_US, [POISON] * 3), 0)], feed=False)
    host.apply([StoredBlock(2, encode_block(1, 2, CLOCK_US, [POISON]), 0)], feed=False)
    assert value(shard, table.SET_ASIDE, "1") == 4


async def test_a_snapshot_shows_by_its_time_its_size_and_its_pauses(shard):
    (host,) = shard.hosts()
    recovered_at = value(shard, table.SNAPSHOT_KEPT, "1")
    assert time.time() - 60 < recovered_at <= time.time()
    await host.log.append(1, encode_block(1, 1, CLOCK_US, [encode_event(event("n/e", {"a": 1}))]), "1", 1.0)
    await until(lambda: host.state.sequence == 1)
    assert value(shard, table.SNAPSHOT_BEHIND, "1") == 1
    await shard.drain()
    assert value(shard, table.SNAPSHOT_BEHIND, "1") == 0
    assert value(shard, table.SNAPSHOTS, "1") == 1
    assert value(shard, table.SNAPSHOT_BYTES, "1") > 0
    assert value(shard, table.SNAPSHOT_KEPT, "1") >= recovered_at
    found = told(shard)
    assert sum(found[table.SNAPSHOT_SECONDS.name,].counts) == 1
    assert sum(found[table.SNAPSHOT_PAUSE.name,].counts) >= 2


async def test_the_log_is_asked_now_and_then_and_its_last_answer_kept(shard, monkeypatch):
    (host,) = shard.hosts()
    meter = ShardMeter(shard)
    assert (table.LOG_BYTES.name, "1") not in told(shard, meter)
    asked = []

    async def usage(partition):
        asked.append(partition)
        return LogUsage(4, 400)

    async def away(partition):
        asked.append(partition)
        raise Unavailable("away")

    monkeypatch.setattr(host.log, "usage", usage)
    await meter.look()
    await meter.look()
    assert asked == [1]
    monkeypatch.setattr(limits, "log_usage_s", 0.0)
    meter = ShardMeter(shard)
    await meter.look()
    monkeypatch.setattr(host.log, "usage", away)
    await meter.look()
    assert len(asked) == 3
    found = told(shard, meter)
    assert (found[table.LOG_BYTES.name, "1"].value, found[table.LOG_BLOCKS.name, "1"].value) == (400, 4)


async def test_behaviours_tell_what_waits_and_what_is_done(shard):
    (host,) = shard.hosts()
    host.state.acting.outbox.add(SimpleNamespace(position=1, entity_id="n/a"))
    host.state.acting.outbox.add(SimpleNamespace(position=2, entity_id="n/a"))
    host.state.acting.outbox.add(SimpleNamespace(position=3, entity_id="n/b"))
    host.state.acting.stopped["n/c"] = "why"
    host.dispatcher = SimpleNamespace(notes=SimpleNamespace(done=5, faults=2))
    metrics = (table.OUTBOX, table.MAILBOX_DEPTH, table.BEHAVIOURS_STOPPED, table.HANDLED, table.FAULTS)
    assert [value(shard, metric, "1") for metric in metrics] == [3, 2, 1, 5, 2]
    host.dispatcher = None


async def test_the_disk_of_the_snapshots_is_looked_at(shard, tmp_path):
    assert told(shard, ShardMeter(shard, tmp_path))[table.SNAPSHOT_DISK_FREE.name,].value > 0
    later = ShardMeter(shard, tmp_path / "with" / "the first snapshot")
    assert told(shard, later)[table.SNAPSHOT_DISK_FREE.name,].value > 0
    assert (table.SNAPSHOT_DISK_FREE.name,) not in told(shard)


async def test_it_begins_and_ends(shard):
    meter = ShardMeter(shard)
    meter.begin()
    await until(lambda: (table.LOG_BYTES.name, "1") in told(shard, meter))
    meter.end()
