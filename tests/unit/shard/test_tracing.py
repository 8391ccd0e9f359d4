"""Events that are traced, in a shard."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.domain.position import pack
from flux_actors.log.block import encode_block, encode_event
from flux_actors.shard.recovering import recover
from flux_actors.shard.running import run
from flux_actors.shard.snapshotting import Snapshotter
from flux_actors.shard.tracing import ShardTracer
from flux_actors.tracing.beside import Beside, text_beside
from tests.unit.shard.hosting import event, until
from tests.unit.tracing.collector import Kept

PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.001)


async def write(hosting, *beside):
    data = encode_block(1, next(hosting.numbers), 1_000, [encode_event(event("n/e", {"a": 1}))] * 4)
    return await hosting.log.append(0, data, f"b{next(hosting.numbers)}", 1.0, text_beside(beside))


async def run_until(host, condition):
    life = asyncio.create_task(run(host, Snapshotter(host, 1_000.0)))
    await until(condition)
    host.draining = True
    await life


async def test_a_span_for_each_piece_whose_name_the_feed_has(hosting):
    kept = Kept()
    host = await hosting.recovered()
    host.tracer = ShardTracer(kept.traces)
    await write(hosting, Beside(0, 1, PARENT), Beside(2, 2, PARENT))
    await run_until(host, lambda: len(kept.named("apply")) == 2)
    assert {f"{span.parent.span_id:x}" for span in kept.spans} == {"cd" * 8}
    (message,) = [message for message in hosting.heard if message.followed]
    assert [(position, events) for position, events, _ in message.followed] == [
        (pack(1, 0), 1),
        (pack(1, 2), 2),
    ]
    ids = {f"00-{'ab' * 16}-{span.context.span_id:016x}-01" for span in kept.spans}
    assert {parent for _, _, parent in message.followed} == ids
    assert [message.followed for message in hosting.heard if not message.changes] != []
    assert host.followed == []


async def test_what_a_recovery_replays_was_told_already(hosting):
    kept = Kept()
    await write(hosting, Beside(0, 1, PARENT))
    host = hosting.host()
    host.tracer = ShardTracer(kept.traces)
    await recover(host)
    assert host.state.sequence == 1
    assert kept.spans == []


async def test_messages_that_are_split_tell_each_its_own(hosting, monkeypatch):
    monkeypatch.setattr(limits, "feed_message_bytes_max", 1)
    kept = Kept()
    host = await hosting.recovered()
    host.tracer = ShardTracer(kept.traces)
    await write(hosting, Beside(0, 1, PARENT))
    await write(hosting, Beside(1, 1, PARENT))
    await run_until(host, lambda: len(kept.named("apply")) == 2)
    told = [position for message in hosting.heard for position, _, _ in message.followed]
    assert told == [pack(1, 0), pack(2, 1)]


async def test_what_stands_beside_a_block_changes_nothing_but_the_feed(hosting):
    host = await hosting.recovered()
    await write(hosting, Beside(0, 1, "nonsense"))
    await run_until(host, lambda: host.state.sequence == 1)
    assert host.state.events_total == 4
