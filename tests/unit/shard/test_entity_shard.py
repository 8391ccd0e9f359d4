"""An EntityShard: hosts partitions and answers doors from their present state."""

from __future__ import annotations

import asyncio
import os

import pytest

from flux_actors import limits
from flux_actors.domain.acting.faults import fault_id
from flux_actors.domain.change import decode_feed
from flux_actors.domain.position import pack
from flux_actors.errors import Moved, Unavailable
from flux_actors.shard import entity_shard, reads
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.shard.partition import Phase
from tests.unit.shard.hosting import DEADLINE_S, event, until

FOREVER_US = 1 << 62


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.001)


@pytest.fixture
async def shard(hosting):
    """A shard of partition 0, drained after the test."""
    shard = EntityShard(hosting.log, hosting.store, hosting.bus, 2, memory=hosting.memory)
    yield shard
    await shard.drain()


async def adopted(hosting, shard):
    """Have the shard host partition 0 and come to the end of its log."""
    await shard.adopt(0, 1)
    last = (await hosting.log.bounds(0)).last
    await reached(shard, last)


async def reached(shard, sequence):
    """Return when all partitions have applied `sequence`."""
    await arrived(shard, lambda status: (status.phase, status.sequence) == (Phase.RUNNING, sequence))


async def arrived(shard, condition):
    async with asyncio.timeout(DEADLINE_S):
        while not all(map(condition, await shard.status())):  # noqa: ASYNC110 - it is asked, never told
            await asyncio.sleep(0)


async def test_it_answers_for_the_entities_that_live(hosting, shard):
    await hosting.write(event("n/a", {"v": 1}), event("n/b", {"v": 2}), clock_us=9)
    await hosting.write(event("n/b", {"__deleted__": True}))
    await adopted(hosting, shard)
    readings = reads.decode_readings(await shard.get({0: ["n/b", "n/a", "n/never"]}))
    assert readings[0].sequence == 2
    (row,) = readings[0].rows
    assert (row.entity_id, row.properties, row.position, row.updated_us) == ("n/a", {"v": 1}, pack(1, 0), 9)
    assert row.history == b""


async def test_it_lists_counts_and_matches(hosting, shard):
    await hosting.write(*(event(f"n/{number}", {"v": number}) for number in range(5)), event("m/x", {"v": 1}))
    await adopted(hosting, shard)
    order = reads.PageOrder("n/", None, 100, joined=False)
    first = reads.decode_page(await shard.page(0, order))
    rest = reads.decode_page(await shard.page(0, order._replace(after=first.after, bytes_max=1_000)))
    assert (len(first.ids), rest.after) == (2, None)
    assert first.ids + rest.ids == [f"n/{number}" for number in range(5)]
    assert (await shard.count(0, "n/"), await shard.count(0, "")) == (5, 6)
    assert await shard.count(0, "", reads.Veil(frozenset({"n"}))) == 1
    assert await shard.entity_counts(0, ["n", "never"]) == [5, 0]
    assert await shard.matching(0, "n/", 3) == ["n/0", "n/1", "n/2"]


async def test_totals_leave_faults_out_that_are_behind_a_veil(hosting, shard):
    ids = ["n/x", "m/x", "m/k/x", "flux-core/audit", *map(fault_id, ("n/x", "m/x", "m/k/x"))]
    await hosting.write(*(event(entity_id, {"v": 1}) for entity_id in ids))
    await adopted(hosting, shard)
    assert await shard.count(0, "") == 7
    assert await shard.count(0, "", reads.Veil(frozenset({"n"}))) == 5
    assert await shard.count(0, "", reads.Veil(frozenset({"m"}), "m/k/")) == 5
    assert await shard.count(0, "flux-core/", reads.Veil(frozenset({"m"}))) == 2
    assert await shard.count(0, "", reads.Veil(frozenset({"never"}))) == 7


async def test_history_is_exactly_the_newest_positions(hosting, shard, monkeypatch):
    monkeypatch.setattr(limits, "history_positions_max", 4)
    for number in range(20):
        await hosting.write(event("n/e", {"v": number}), event("n/other", {"v": number}), clock_us=number)
    await adopted(hosting, shard)
    newest = await shard.history(0, "n/e", 0, FOREVER_US, 4)
    assert newest == [(pack(sequence, 0), sequence - 1) for sequence in (20, 19, 18, 17)]
    assert await shard.history(0, "n/e", 0, FOREVER_US, 2) == newest[:2]


async def test_history_goes_from_since_to_just_before_until_and_holds_tombstones(hosting, shard):
    for number in range(6):
        deletes = {"__deleted__": True} if number == 3 else {"v": number}
        await hosting.write(event("n/e", deletes), clock_us=number * 10)
    await adopted(hosting, shard)
    found = await shard.history(0, "n/e", 20, 50, 100)
    assert [clock_us for _, clock_us in found] == [40, 30, 20]
    assert await shard.history(0, "n/never", 0, FOREVER_US, 100) == []


async def test_history_survives_a_snapshot(hosting, shard):
    await hosting.write(event("n/e", {"v": 1}))
    await hosting.snapshot()
    hosting.log.trim(0, 2)
    await hosting.write(event("n/e", {"v": 2}))
    await adopted(hosting, shard)
    found = await shard.history(0, "n/e", 0, FOREVER_US, 100)
    assert [position for position, _ in found] == [pack(2, 0), pack(1, 0)]


async def test_a_door_that_missed_messages_gets_them(hosting, shard):
    await adopted(hosting, shard)
    for number in range(1, 4):
        await hosting.write(event("n/e", {"v": number}))
        await reached(shard, number)
    repair = reads.decode_repair(await shard.repair(0, 1))
    assert repair.sequence == 3
    assert len(repair.messages) == 2
    assert repair.rows == []


async def test_a_door_that_missed_too_much_gets_what_changed_deletions_included(hosting, shard, monkeypatch):
    monkeypatch.setattr(limits, "feed_ring_bytes_max", 1)
    await adopted(hosting, shard)
    blocks = [event("n/old", {"v": 1})], [event("n/a", {"v": 2}), event("n/b", {"v": 2})]
    for number, block in enumerate([*blocks, [event("n/b", {"__deleted__": True})]], 1):
        await hosting.write(*block)
        await reached(shard, number)
    repair = reads.decode_repair(await shard.repair(0, 1))
    assert (repair.sequence, repair.messages) == (3, None)
    assert {row.entity_id: row.properties for row in repair.rows} == {"n/a": {"v": 2}, "n/b": None}


async def test_it_tells_the_totals_of_namespaces_that_have_entities(hosting, shard):
    await hosting.write(event("n/a", {"v": 1}), event("n/b", {"v": 1}), event("lonely", {"v": 1}))
    await hosting.write(event("gone/a", {"v": 1}), clock_us=2_000)
    await hosting.write(event("gone/a", {"__deleted__": True}), event("n/a", {"v": 2}), clock_us=3_000)
    await adopted(hosting, shard)
    rows = reads.decode_namespaces(await shard.namespaces())
    assert sorted((row.namespace, row.entities, row.updated_us) for row in rows) == [
        ("", 1, 1_000),
        ("n", 2, 3_000),
    ]


async def test_a_partition_it_does_not_host_has_moved(shard):
    with pytest.raises(Unavailable, match="partition 1 is moving"):
        await shard.get({1: ["n/e"]})


async def test_nothing_is_answered_while_it_recovers(hosting, shard):
    hosting.log.away = True
    await shard.adopt(0, 1)
    for question in (
        shard.get({0: ["n/e"]}),
        shard.page(0, reads.PageOrder("", None, 1, joined=True)),
        shard.count(0, ""),
        shard.matching(0, "", 1),
        shard.history(0, "n/e", 0, 1, 1),
        shard.repair(0, 0),
        shard.namespaces(),
    ):
        with pytest.raises(Unavailable, match="recovering"):
            await question
    hosting.log.away = False


async def test_a_newer_epoch_is_taken_and_an_older_one_is_not(hosting, shard):
    for epoch, held in ((3, 3), (5, 5), (4, 5)):
        await shard.adopt(0, epoch)
        assert [status.epoch for status in await shard.status()] == [held]


async def test_adopting_again_does_not_begin_a_second_life(hosting, shard):
    await hosting.write(event("n/e", {"v": 1}))
    await adopted(hosting, shard)
    before = len(hosting.heard)
    await shard.adopt(0, 2)
    await hosting.write(event("n/e", {"v": 2}))
    await reached(shard, 2)
    await until(lambda: any(message.sequence == 2 for message in hosting.heard))
    assert sum(bool(message.changes) for message in hosting.heard[before:]) == 1


async def test_it_announces_its_place_when_asked(hosting, shard, monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 1.0)
    await adopted(hosting, shard)
    await until(lambda: hosting.heard)
    hosting.heard.clear()
    await shard.announce()
    assert [message.sequence for message in hosting.heard] == [0]


async def test_it_announces_nothing_while_it_recovers(hosting, shard):
    hosting.log.away = True
    await shard.adopt(0, 1)
    await shard.announce()
    assert hosting.heard == []
    hosting.log.away = False


async def test_a_life_that_ended_in_a_fault_is_told_so_that_the_router_replaces_it(
    hosting, monkeypatch, lines
):
    async def fail(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(entity_shard, "live", fail)
    shard = EntityShard(hosting.log, hosting.store, hosting.bus, 2, memory=hosting.memory)
    await shard.adopt(0, 1)
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="a fault"):
        await shard.status()
    await shard.drain()
    assert [line["partition"] for line in lines if line["event"] == "partition.died"] == [0]


async def test_a_stopped_partition_is_told_as_it_is_and_not_replaced(hosting, shard):
    await hosting.write(event("n/e", {"v": 1}))
    await hosting.snapshot()
    hosting.log.cut_off(0, 0)
    await shard.adopt(0, 1)
    async with asyncio.timeout(DEADLINE_S):
        while (await shard.status())[0].phase != Phase.STOPPED:  # noqa: ASYNC110 - a status is asked for
            await asyncio.sleep(0)
    (status,) = await shard.status()
    assert "before its snapshot" in status.error
    with pytest.raises(Unavailable, match="has stopped"):
        await shard.count(0, "")


async def test_draining_leaves_a_snapshot_of_every_partition(hosting):
    shard = EntityShard(hosting.log, hosting.store, hosting.bus, 2, memory=hosting.memory)
    await hosting.write(event("n/a", {"v": 1}))
    hosting.partition = 1
    await hosting.write(event("m/b", {"v": 1}))
    await shard.adopt(0, 1)
    await shard.adopt(1, 1)
    await reached(shard, 1)
    await shard.drain()
    assert (hosting.store.sequences(0), hosting.store.sequences(1)) == ([1], [1])


async def following(hosting, shard):
    """Have the shard follow partition 0 to the end of its log."""
    await shard.follow(0, 2)
    last = (await hosting.log.bounds(0)).last
    await arrived(shard, lambda status: (status.phase, status.sequence) == (Phase.FOLLOWING, last))


async def test_one_that_follows_folds_and_says_nothing(hosting, shard):
    await hosting.write(event("n/e", {"v": 1}))
    await following(hosting, shard)
    await hosting.write(event("n/e", {"v": 2}))
    await following(hosting, shard)
    assert hosting.heard == []
    with pytest.raises(Moved, match="partition 0 is moving"):
        await shard.get({0: ["n/e"]})
    assert reads.decode_namespaces(await shard.namespaces()) == []


async def test_one_that_has_followed_leads_at_once_and_closes_gaps_from_before(hosting, shard):
    await hosting.write(event("n/e", {"v": 1}))
    await following(hosting, shard)
    await hosting.write(event("n/e", {"v": 2}))
    await following(hosting, shard)
    await shard.lead(0, 3, 2)
    (status,) = await shard.status()
    assert (status.phase, status.epoch) == (Phase.RUNNING, 3)
    readings = reads.decode_readings(await shard.get({0: ["n/e"]}))
    assert [row.properties for row in readings[0].rows] == [{"v": 2}]
    assert reads.decode_repair(await shard.repair(0, 1)).messages is not None
    await hosting.write(event("n/e", {"v": 3}))
    await until(lambda: any(message.changes for message in hosting.heard))


async def test_one_that_follows_leaves_no_snapshot_and_sweeps_none_away(hosting):
    await hosting.write(event("n/e", {"v": 1}))
    leader, follower = (EntityShard(hosting.log, hosting.store, hosting.bus, 2) for _ in range(2))
    await adopted(hosting, leader)
    sink = hosting.store.begin(0, 1)
    await following(hosting, follower)
    sink.write(b"what the leader is writing")
    sink.commit()
    await follower.drain()
    assert hosting.store.sequences(0) == [1]
    await leader.drain()


async def test_a_partition_that_is_released_has_moved_and_leaves_a_snapshot(hosting, shard):
    await hosting.write(event("n/e", {"v": 1}))
    await adopted(hosting, shard)
    assert await shard.release(0) == 1
    with pytest.raises(Moved, match="partition 0 is moving"):
        await shard.get({0: ["n/e"]})
    assert await shard.status() == []
    await shard.drain()
    assert hosting.store.sequences(0) == [1]
    assert await shard.release(0) == 0
    with pytest.raises(Moved):
        await shard.lead(0, 2, 0)


async def test_a_partition_that_comes_back_is_hosted_anew_when_its_snapshot_is_made(hosting, shard):
    await hosting.write(event("n/e", {"v": 1}))
    await adopted(hosting, shard)
    await shard.release(0)
    await hosting.write(event("n/e", {"v": 2}))
    await shard.adopt(0, 3)
    assert hosting.store.sequences(0) == [1]
    await reached(shard, 2)
    readings = reads.decode_readings(await shard.get({0: ["n/e"]}))
    assert [row.properties for row in readings[0].rows] == [{"v": 2}]


async def test_what_happens_while_a_partition_moves_is_told_once(hosting):
    """Two shards and writes all the time: the feed goes on without a gap, in order, from one to the other."""
    old, new = (EntityShard(hosting.log, hosting.store, hosting.bus, 2) for _ in range(2))
    await adopted(hosting, old)
    writing = True

    async def write():
        number = 0
        while writing:
            number += 1
            await hosting.write(event("n/e", {"v": number}))
            await asyncio.sleep(0.001)

    writer = asyncio.create_task(write())
    await until(lambda: any(message.changes for message in hosting.heard))
    await new.follow(0, 2)
    await arrived(new, lambda status: status.phase == Phase.FOLLOWING and status.sequence > 3)
    await new.lead(0, 2, await old.release(0))
    (status,) = await new.status()
    await until(lambda: hosting.heard[-1].sequence > status.sequence + 3)
    writing = False
    await writer
    await new.drain()
    by_old, by_new = ([m for m in hosting.heard if m.epoch == epoch] for epoch in (1, 2))
    repair = reads.decode_repair(await new.repair(0, by_old[-1].sequence))
    messages = [*by_old, *map(decode_feed, repair.messages or [])]
    assert by_new
    places = [(m.after, m.sequence) for m in messages if m.changes]
    assert [after for after, _ in places] == [0, *(sequence for _, sequence in places[:-1])]
    assert [c.properties["v"] for m in messages for c in m.changes][-1] == (await hosting.log.bounds(0)).last
    await old.drain()


async def test_it_tells_its_process(shard):
    assert await shard.pid() == os.getpid()
