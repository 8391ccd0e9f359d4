"""The door: how ready it is, what it waits for, and that it lets go of everything."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from flux_actors import __version__, limits
from flux_actors.domain.change import HeardFeed
from flux_actors.domain.position import pack
from flux_actors.errors import Refused, Unavailable
from flux_actors.tenancy.principal import ANYONE
from flux_api.watcher import Watcher
from tests.unit.api.sockets import FakeLink
from tests.unit.api.standing import DEADLINE_S, event, outcomes_of, readings, row

WIDE = [f"wide/{number}" for number in range(8)]


async def test_it_is_well_when_every_partition_is_ready(standing):
    health = standing.door.health()
    assert (health.status, health.partitions, health.lag) == ("ok", {"ready": 3, "recovering": 0}, 0)
    assert health.version == __version__


async def test_a_partition_that_fell_silent_is_recovering(standing):
    standing.bus.drop = 1_000_000
    standing.door.feeds.parts[1].heard_at -= 10
    assert standing.door.health().status == "recovering"
    assert standing.door.health().partitions == {"ready": 2, "recovering": 1}


async def test_a_write_is_visible_once_its_position_is_reached(standing):
    done = await standing.door.publisher.publish(event("n/e", {"v": 1}), ANYONE)
    entity = await standing.door.applied("n/e", done.partition, done.position)
    assert entity.properties == {"v": 1}
    assert await standing.door.applied(None, done.partition, done.position) is None


async def test_a_position_that_does_not_come_is_unavailable(standing):
    standing.hurry()
    with pytest.raises(Unavailable):
        await standing.door.reached({0: pack(99, 0)}, (0,))
    await standing.door.reached({0: pack(99, 0)}, (1, 2))


async def test_it_catches_up_with_all_that_the_log_holds(standing):
    outcomes = outcomes_of(
        await standing.door.publisher.publish_all([event(n, {"v": 1}) for n in WIDE], ANYONE)
    )
    await standing.door.caught_up((0, 1, 2))
    for outcome in outcomes:
        part = standing.door.feeds.parts[outcome.partition]
        assert part.sequence >= outcome.position >> limits.offset_bits


async def test_positions_of_other_logs_are_refused(standing):
    assert standing.door.positions("2.1.0") == {2: pack(1, 0)}
    with pytest.raises(Refused):
        standing.door.positions("3.1.0")


async def test_watchers_see_a_change_when_readers_do(standing):
    watcher = Watcher(FakeLink())
    standing.door.hub.join(watcher)
    await standing.publish(event("n/e", {"v": 1}))
    assert [message["value"] for message in watcher.link.take()] == [1]
    assert (await standing.door.view.get("n/e")).properties == {"v": 1}


async def test_while_nobody_reads_or_watches_the_feed_is_not_decoded(standing, monkeypatch):
    looks = []
    monkeypatch.setattr(HeardFeed, "changes", property(looks.append))
    await standing.publish(event("n/e", {"v": 1}))
    assert looks == []


async def test_what_a_lost_feed_held_is_shown_and_read_as_it_is_now(standing, monkeypatch):
    await standing.publish(event("n/e", {"v": 1}), event("n/gone", {"v": 1}))
    await standing.door.view.get_many(["n/e", "n/gone"])
    watcher = Watcher(FakeLink())
    standing.door.hub.join(watcher)
    monkeypatch.setattr(limits, "feed_ring_bytes_max", 1)
    standing.bus.drop = 1_000_000
    for body in (event("n/e", {"v": 2}), event("n/gone", {"__deleted__": True}), event("n/e", {"w": 3})):
        done = await standing.door.publisher.publish(body, ANYONE)
        await _applied(standing, done)
    standing.bus.drop = 0
    await standing.door.caught_up((done.partition,))
    entity, gone = await standing.door.view.get_many(["n/e", "n/gone"])
    assert (entity.properties, gone.lives) == ({"v": 2, "w": 3}, False)
    messages = watcher.link.take()
    assert [m["entity_id"] for m in messages if m["type"] == "entity_deleted"] == ["n/gone"]
    assert ("w", 3) in [(m.get("property"), m.get("value")) for m in messages]


async def test_an_answer_older_than_the_feed_is_not_kept(standing):
    """A shard that was replaced, and does not know it yet, must not leave its past in a view."""
    await standing.publish(event("n/e", {"v": 1}))
    await standing.publish(event("n/e", {"v": 2}))
    door = standing.door
    partition = door.partitioning.of_entity("n/e")
    living = door.shards.call

    async def zombie(partition, method, *arguments):
        return readings(1, row("n/e", {"v": 1}), partition=partition)

    door.shards.call = zombie
    door.view.forget(partition)
    with suppress(Unavailable):
        await door.view.get("n/e")
    door.shards.call = living
    assert (await door.view.get("n/e")).properties == {"v": 2}


async def test_closing_takes_nothing_new(standing):
    await standing.door.publisher.close()
    with pytest.raises(Unavailable, match="closing"):
        await standing.door.publisher.publish(event("n/e", {"v": 1}), ANYONE)


async def _applied(standing, done):
    """Return when the shard has applied a published event, whether or not the door has heard of it."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            rows = {row.partition: row.sequence for row in await standing.shard.status()}
            if rows[done.partition] >= done.position >> limits.offset_bits:
                return
            await asyncio.sleep(0)
