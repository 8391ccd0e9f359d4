from __future__ import annotations

import itertools

import pytest

from flux_actors import limits
from flux_actors.domain.event import Event
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.log.block import decode_block
from flux_actors.log.memory import MemoryLog
from flux_actors.router.core_events import CoreEvents


def events_on(log: MemoryLog, partitioning: Partitioning) -> CoreEvents:
    return CoreEvents(log, partitioning, itertools.count(1).__next__, lambda: 5_000_000)


async def read(log: MemoryLog, partition: int) -> list[Event]:
    last = (await log.bounds(partition)).last
    blocks = [decode_block(await log.block(partition, sequence)) for sequence in range(1, last + 1)]
    return [event for block in blocks for event in block.events if isinstance(event, Event)]


async def test_event_is_the_servers_own_and_durable_on_return() -> None:
    log = MemoryLog(4)
    events = events_on(log, Partitioning(4))
    await events.write("flux-core/x", {"a": 1}, "flux.x")
    (event,) = await read(log, events.partition_of("flux-core/x"))
    assert (event.entity_id, event.properties, event.stream) == ("flux-core/x", {"a": 1}, "flux.x")
    assert (event.source, event.named_by_client, event.timestamp_ms) == ("flux-core", False, 5_000)


async def test_no_properties_delete() -> None:
    log = MemoryLog(1)
    events = events_on(log, Partitioning(1))
    await events.write("flux-core/x", None, "flux.x")
    (event,) = await read(log, 0)
    assert event.deletes


async def test_each_entity_is_written_where_it_lives() -> None:
    log = MemoryLog(8)
    events = events_on(log, Partitioning(8, frozenset({"flux-core"})))
    ids = [f"flux-core/{number}" for number in range(20)]
    for entity_id in ids:
        await events.write(entity_id, {}, "flux.x")
    assert len({events.partition_of(entity_id) for entity_id in ids}) > 1
    for entity_id in ids:
        assert entity_id in [event.entity_id for event in await read(log, events.partition_of(entity_id))]


async def test_log_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    log = MemoryLog(1)
    log.away = True
    with pytest.raises(Unavailable):
        await events_on(log, Partitioning(1)).write("flux-core/x", {}, "flux.x")
