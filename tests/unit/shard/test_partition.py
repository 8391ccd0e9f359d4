"""A hosted partition: its feed messages, its phases for readers, its status."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.domain.change import decode_feed
from flux_actors.errors import Unavailable
from flux_actors.shard.partition import Phase
from tests.unit.shard.hosting import event


async def apply_all(hosting, host, *, feed=True):
    reader = hosting.log.reader(hosting.partition, host.state.sequence)
    return [decode_feed(data) for data in host.apply(await reader.pull(0), feed=feed)]


async def test_a_large_message_is_cut_between_blocks(hosting, monkeypatch):
    monkeypatch.setattr(limits, "feed_message_bytes_max", 200)
    for block in range(4):
        await hosting.write(event("n/a", {"v": block}), event("n/b", {"text": "x" * 80}))
    messages = await apply_all(hosting, hosting.host())
    assert [(m.after, m.sequence) for m in messages] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert [[c.position >> limits.offset_bits for c in m.changes] for m in messages] == [
        [1, 1],
        [2, 2],
        [3, 3],
        [4, 4],
    ]


async def test_blocks_without_changes_belong_to_the_cut_before_the_next_change(hosting, monkeypatch):
    monkeypatch.setattr(limits, "feed_message_bytes_max", 60)
    await hosting.write(event(None))
    await hosting.write(event("n/a", {"text": "x" * 50}))
    await hosting.write(event(None))
    await hosting.write(event("n/a", {"text": "y" * 50}))
    await hosting.write(event(None))
    messages = await apply_all(hosting, hosting.host())
    assert [(m.after, m.sequence) for m in messages] == [(0, 2), (2, 5)]


async def test_what_was_cut_can_be_repaired_from_any_cut(hosting, monkeypatch):
    monkeypatch.setattr(limits, "feed_message_bytes_max", 60)
    for block in range(3):
        await hosting.write(event("n/a", {"v": block, "text": "x" * 50}))
    host = hosting.host()
    await apply_all(hosting, host)
    assert [len(host.ring.since(place, 3)) for place in range(4)] == [3, 2, 1, 0]


async def test_one_block_is_never_cut(hosting, monkeypatch):
    monkeypatch.setattr(limits, "feed_message_bytes_max", 1)
    await hosting.write(*(event(f"n/{number}", {"v": number}) for number in range(5)))
    (message,) = await apply_all(hosting, hosting.host())
    assert len(message.changes) == 5


async def test_without_a_feed_nothing_is_made_for_the_ring(hosting):
    await hosting.write(event("n/e", {"v": 1}))
    host = hosting.host()
    assert await apply_all(hosting, host, feed=False) == []
    assert host.ring.since(0, 1) is None


@pytest.mark.parametrize(("phase", "retry_after_s"), [(Phase.RECOVERING, 1), (Phase.STOPPED, 30)])
async def test_it_cannot_be_read_while_recovering_or_stopped(hosting, phase, retry_after_s):
    host = hosting.host()
    host.phase, host.error = phase, "the log has a gap"
    with pytest.raises(Unavailable, match=r"recovering|has stopped: the log has a gap") as refused:
        host.readable()
    assert refused.value.retry_after_s == retry_after_s


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.DRAINING])
async def test_it_can_be_read_while_running_and_draining(hosting, phase):
    host = hosting.host()
    host.phase = phase
    assert host.readable() is host.state


async def test_its_status_tells_where_it_is(hosting):
    await hosting.write(event("n/e", {"v": 1}))
    await hosting.snapshot()
    await hosting.write(event("n/f", {"v": 1}), event(None))
    host = await hosting.recovered()
    status = host.status()._asdict()
    cold = 0 if hosting.memory is None else 2
    assert status == {
        "partition": 0,
        "epoch": host.epoch,
        "phase": "recovering",
        "sequence": 2,
        "pending": 0,
        "events_total": 3,
        "entities": 2,
        "snapshot": 1,
        "poison": 0,
        "error": None,
        "hot": 2 - cold,
        "cold": cold,
        "behaviours": 0,
    }


async def test_a_new_state_is_what_lists_read(hosting):
    await hosting.write(event("n/e", {"v": 1}))
    host = await hosting.recovered()
    host.index.refresh()
    rows, after = host.index.living("", None, 10)
    assert ([row.entity_id for row in rows], after) == (["n/e"], None)
