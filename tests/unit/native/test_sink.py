"""FluxSink: what a task commits, under ids that do not change, and what it says when it cannot."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pyarrow as pa
import pytest
from ray.data.datasource.datasink import WriteResult

from flux_actors import limits
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import pack
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.block import decode_block
from flux_actors.log.connection import NatsAccess
from flux_actors.log.memory import MemoryLog
from flux_actors.native import sink
from flux_actors.native.batches import Label
from flux_actors.native.introduction import Introduction
from flux_actors.native.sink import BatchWriter, FluxSink, Written
from flux_actors.tenancy.namespace import ALL_SCOPES
from flux_actors.tenancy.principal import ANYONE, Principal

RULE = Partitioning(2, frozenset({"wide"}))
LABEL = Label("nightly", 4, "me", "batch")


def introduced(principal=ANYONE):
    return Introduction(NatsAccess("nats://nowhere"), 2, RULE.spread, principal, 1, None)


def table(*ids):
    return pa.table({"entity_id": list(ids), "properties": [f'{{"n":{n}}}' for n in range(len(ids))]})


async def events_in(log):
    found = []
    for partition in (0, 1):
        for sequence in range(1, (await log.bounds(partition)).last + 1):
            events = decode_block(await log.block(partition, sequence)).events
            assert all(RULE.of_entity(event.entity_id) == partition for event in events)
            found += events
    return found


async def test_rows_become_events_of_their_partitions():
    log, ids = MemoryLog(2), [f"wide/{n}" for n in range(20)]
    written = await BatchWriter(log, introduced()).write([table(*ids[:12]), table(*ids[12:])], LABEL)
    events = await events_in(log)
    assert written == Written(20, {p: pack(2, n - 1) for p, n in written_of(events)})
    assert sorted(event.entity_id for event in events) == sorted(ids)
    assert len({event.event_id for event in events}) == 20
    assert all(event.named_by_client for event in events)


def written_of(events):
    """Return how many events of the second table each partition has."""
    late = [event for event in events if int(event.entity_id.removeprefix("wide/")) >= 12]
    return [(p, sum(RULE.of_entity(event.entity_id) == p for event in late)) for p in (0, 1)]


async def test_another_try_has_the_same_ids_and_another_task_has_others():
    log = MemoryLog(2)
    for label in (LABEL, LABEL, LABEL._replace(task=5)):
        await BatchWriter(log, introduced()).write([table("home/a", "home/b")], label)
    ids = [event.event_id for event in await events_in(log)]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4


async def test_what_may_not_be_written_is_refused():
    holder = Principal.holder("home", ALL_SCOPES, "", None, "id")
    log = MemoryLog(2)
    with pytest.raises(Refused, match="home") as refused:
        await BatchWriter(log, introduced(holder)).write([table("home/a", "other/b")], LABEL)
    assert refused.value.status == 403
    assert await events_in(log) == []
    assert (await BatchWriter(log, introduced(holder)).write([table("home/a")], LABEL)).events == 1


async def test_a_log_that_is_away_fails_the_task(monkeypatch):
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    log = MemoryLog(2)
    log.away = True
    monkeypatch.setattr(log, "append", away)
    with pytest.raises(Unavailable, match="2 of 2 rows were not written: the log is away"):
        await BatchWriter(log, introduced()).write([table("home/a", "home/b")], LABEL)


async def away(*arguments):
    raise Unavailable("the log is away")


def test_a_task_writes_what_ray_gives_it(monkeypatch):
    log = MemoryLog(2)

    async def connect(access, name):
        return SimpleNamespace(close=lambda: asyncio.sleep(0))

    monkeypatch.setattr(sink, "connect", connect)
    monkeypatch.setattr(sink, "JetStreamLog", lambda client: log)
    task = FluxSink(job="nightly", source="me", introduced=introduced())
    frame = table("home/c").to_pandas()
    written = task.write([table("home/a", "home/b"), frame], SimpleNamespace(task_idx=7))
    events = asyncio.run(events_in(log))
    assert [event.entity_id for event in events] == ["home/a", "home/b", "home/c"]
    assert all(event.event_id.startswith("nightly.7.") for event in events)
    assert {(event.source, event.stream) for event in events} == {("me", "batch")}
    task.on_write_complete(WriteResult(3, 9, [written, Written(2, {1: pack(9, 0)})]))
    assert task.written.events == 5
    assert "1.9.0" in task.position


def test_a_task_without_rows_needs_no_log():
    empty = [pa.table({}), table()]
    assert FluxSink(introduced=introduced()).write(empty, SimpleNamespace(task_idx=7)) == Written()


def test_a_sink_writes_one_dataset():
    one = FluxSink(introduced=introduced())
    one.on_write_start(table("home/a").schema)
    with pytest.raises(Refused, match="make another"):
        one.on_write_start(table("home/a").schema)


def test_columns_are_looked_at_before_anything_is_written():
    with pytest.raises(Refused, match="missing: properties"):
        FluxSink(introduced=introduced()).on_write_start(pa.schema([pa.field("entity_id", pa.string())]))
    FluxSink(introduced=introduced()).on_write_start(None)


def test_each_job_has_a_name_of_its_own_that_fits():
    names = {FluxSink(introduced=introduced()).job for _ in range(3)}
    assert len(names) == 3
    with pytest.raises(Refused, match="64"):
        FluxSink(job="x" * 65, introduced=introduced())
