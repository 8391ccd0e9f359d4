"""A running partition: what comes is applied once, told once, and nothing but a lie of the log stops it."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.domain.entity import EntityActor
from flux_actors.domain.position import pack
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.shard import running
from flux_actors.shard.running import run
from flux_actors.shard.snapshotting import Snapshotter
from tests.unit.shard.hosting import NEWER_BLOCK, POISON, TORN_BLOCK, event, properties_of, until


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No test waits for a heartbeat's second."""
    monkeypatch.setattr(limits, "heartbeat_s", 0.001)
    monkeypatch.setattr(running, "_AWAY_S", 0.001)


@pytest.fixture
async def running_host(hosting):
    """A host in its loop; it is drained after the test."""
    host = await hosting.recovered()
    life = asyncio.create_task(run(host, Snapshotter(host, 1_000.0)))
    yield host
    host.draining = True
    if not life.done():
        await life


async def run_to(hosting, sequence):
    """Run a new host until it has applied `sequence`; return it and how the run ended."""
    host = await hosting.recovered() if sequence == 0 else hosting.host()
    life = asyncio.create_task(run(host, Snapshotter(host, 1_000.0)))
    await until(lambda: host.state.sequence >= sequence or life.done())
    host.draining = True
    await asyncio.wait([life])
    return host, life.exception()


async def test_it_begins_by_telling_its_place(hosting, running_host):
    await until(lambda: hosting.heard)
    first = hosting.heard[0]
    assert (first.after, first.sequence, first.changes, first.epoch) == (0, 0, [], running_host.epoch)


async def test_a_bus_that_is_away_at_first_is_waited_for(hosting, monkeypatch, lines):
    serve, tries = hosting.bus.serve, iter((Unavailable("away"), Unavailable("away"), None))

    async def serve_later(subject, answer):
        error = next(tries)
        if error is not None:
            raise error
        return await serve(subject, answer)

    monkeypatch.setattr(hosting.bus, "serve", serve_later)
    await hosting.write(event("n/e", {"a": 1}))
    host, end = await run_to(hosting, 1)
    assert (host.state.sequence, end) == (1, None)
    assert [line["event"] for line in lines].count("bus.away") == 2


async def test_a_bus_that_stays_away_holds_up_no_draining(hosting, monkeypatch):
    async def away(subject, answer):
        host.draining = True
        raise Unavailable("away")

    monkeypatch.setattr(hosting.bus, "serve", away)
    host = await hosting.recovered()
    await run(host, Snapshotter(host, 1_000.0))


async def test_what_comes_is_applied_and_told(hosting, running_host):
    await hosting.write(event("n/e", {"a": 1}), clock_us=7)
    await until(lambda: running_host.state.sequence == 1)
    await until(lambda: any(message.changes for message in hosting.heard))
    (message,) = [message for message in hosting.heard if message.changes]
    (change,) = message.changes
    assert (change.entity_id, change.properties, change.clock_us) == ("n/e", {"a": 1}, 7)
    assert (message.after, message.sequence, message.entities, message.events_total) == (0, 1, 1, 1)
    assert message.sources == ["source"]


async def test_each_entity_gets_one_merged_run_per_pull(hosting, monkeypatch):
    runs = []
    receive = EntityActor.receive

    def spy(actor, run, *more):
        steps = run if isinstance(run, list) else [run]
        runs.append((actor.entity_id, [properties["v"] for _, _, properties, _ in steps]))
        return receive(actor, run, *more)

    monkeypatch.setattr(EntityActor, "receive", spy)
    await hosting.write(event("n/a", {"v": 1}), event("n/b", {"v": 2}))
    await hosting.write(event("n/a", {"v": 3}))
    await hosting.write(event("n/b", {"v": 4}), event("n/a", {"v": 5}))
    await run_to(hosting, 3)
    assert runs == [("n/a", [1, 3, 5]), ("n/b", [2, 4])]


async def test_a_pull_is_told_in_one_message_in_log_order(hosting):
    await hosting.write(event("n/a", {"v": 1}), event("n/b", {"v": 2}))
    await hosting.write(event("n/a", {"v": 3}))
    await run_to(hosting, 2)
    (message,) = [message for message in hosting.heard if message.changes]
    told = [(change.entity_id, change.properties) for change in message.changes]
    assert told == [("n/a", {"v": 1}), ("n/b", {"v": 2}), ("n/a", {"v": 3})]
    assert [change.position for change in message.changes] == [pack(1, 0), pack(1, 1), pack(2, 0)]


async def test_messages_are_numbered_without_a_gap(hosting, monkeypatch):
    monkeypatch.setattr(limits, "pull_blocks", 2)
    for number in range(7):
        await hosting.write(event(f"n/{number}", {"n": number}))
    await run_to(hosting, 7)
    ends = [(message.after, message.sequence) for message in hosting.heard if message.changes]
    assert ends == [(0, 2), (2, 4), (4, 6), (6, 7)]
    assert [m.pending for m in hosting.heard if m.changes] == [5, 3, 1, 0]


async def test_an_idle_partition_tells_its_place_again_and_again(hosting, running_host):
    await until(lambda: len(hosting.heard) > 3)
    assert {(message.after, message.sequence) for message in hosting.heard} == {(0, 0)}


async def test_a_poisonous_event_is_set_aside_and_reported_while_its_neighbours_land(
    hosting, running_host, lines
):
    await hosting.write(event("n/a", {"v": 1}), POISON, event("n/b", {"v": 2}))
    await hosting.write(event("n/a", {"v": 3}))
    await until(lambda: running_host.state.sequence == 2)
    assert properties_of(running_host) == {"n/a": {"v": 3}, "n/b": {"v": 2}}
    (reported,) = [line for line in lines if line["event"] == "event.set_aside"]
    assert (reported["partition"], reported["position"]) == (0, pack(1, 1))
    assert reported["reason"]
    assert running_host.status().poison == 1
    assert running_host.state.events_total == 3


async def test_a_torn_block_is_set_aside_between_its_neighbours(hosting, lines):
    await hosting.write(event("n/e", {"v": 1}))
    await hosting.write_bytes(TORN_BLOCK)
    await hosting.write(event("n/e", {"v": 3}))
    host, error = await run_to(hosting, 3)
    assert error is None
    assert properties_of(host) == {"n/e": {"v": 3}}
    assert [line["position"] for line in lines if line["event"] == "event.set_aside"] == [pack(2, 0)]
    (message,) = [message for message in hosting.heard if message.changes]
    assert [change.position for change in message.changes] == [pack(1, 0), pack(3, 0)]


async def test_no_more_poison_is_remembered_than_the_limit(hosting, running_host, monkeypatch):
    monkeypatch.setattr(limits, "poison_kept_max", 3)
    for _ in range(5):
        await hosting.write_bytes(TORN_BLOCK)
    await until(lambda: running_host.state.sequence == 5)
    assert [item.position >> limits.offset_bits for item in running_host.state.poison] == [3, 4, 5]


async def test_a_block_of_a_later_version_ends_the_run(hosting):
    await hosting.write_bytes(NEWER_BLOCK)
    _, error = await run_to(hosting, 1)
    assert isinstance(error, Corrupt)


async def test_a_log_that_lost_what_comes_next_ends_the_run(hosting):
    await hosting.write(event("n/e", {"v": 1}))
    await hosting.write(event("n/e", {"v": 2}))
    hosting.log.trim(0, 2)
    _, error = await run_to(hosting, 2)
    assert isinstance(error, Corrupt)


async def test_a_log_that_is_away_is_waited_for(hosting, running_host, lines):
    hosting.log.away = True
    await until(lambda: any(line["event"] == "log.away" for line in lines))
    hosting.log.away = False
    await hosting.write(event("n/e", {"v": 1}))
    await until(lambda: running_host.state.sequence == 1)


async def test_a_feed_that_nobody_takes_holds_nothing_up(hosting, running_host, monkeypatch):
    async def unreachable(subject, data):
        raise Unavailable("the bus cannot be reached")

    monkeypatch.setattr(hosting.bus, "publish", unreachable)
    await hosting.write(event("n/e", {"v": 1}))
    await until(lambda: running_host.state.sequence == 1)
    assert running_host.ring.since(0, 1)


async def test_a_block_stored_twice_and_an_event_sent_twice_are_applied_once(hosting, running_host):
    sequence = await hosting.write(event("n/e", {"v": 1}, "once"))
    await hosting.write_bytes(await hosting.log.block(0, sequence))
    await hosting.write(event("n/e", {"v": 2}, "once"))
    await until(lambda: running_host.state.sequence == 3)
    assert properties_of(running_host) == {"n/e": {"v": 1}}
    assert running_host.state.events_total == 1


async def test_a_cut_that_is_due_is_carried_through_while_events_come(hosting, monkeypatch):
    monkeypatch.setattr(limits, "snapshot_every_events", 1)
    await hosting.write(event("n/e", {"v": 1}))
    host = hosting.host()
    life = asyncio.create_task(run(host, Snapshotter(host, 1_000.0)))
    await until(lambda: host.snapshot_sequence == 1)
    assert hosting.store.sequences(0) == [1]
    host.draining = True
    await life
