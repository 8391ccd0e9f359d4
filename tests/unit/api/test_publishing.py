"""Publishing: the one implementation of the rules, from a client's JSON to a durable event."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.domain.event import DELETE_STREAM
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import unpack
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.block import decode_block
from flux_actors.log.memory import MemoryLog
from flux_actors.tenancy.principal import ANYONE
from flux_actors.tenancy.registry import Registry
from flux_api.publishing import Publisher
from flux_api.submission import Published
from tests.unit.api.standing import event, outcomes_of, settle

RULE = Partitioning(3)


@pytest.fixture
def log():
    return MemoryLog(3)


@pytest.fixture
def publisher(log):
    return Publisher(log, RULE, Registry())


async def kept(log, done):
    """Return the event that the log holds at a published event's place."""
    sequence, offset = unpack(done.position)
    return decode_block(await log.block(done.partition, sequence)).events[offset]


async def test_an_event_is_in_the_log_where_the_answer_says(publisher, log):
    done = await publisher.publish(event("home/hall", {"v": 1}, eventId="mine", key="k"), ANYONE)
    assert done.partition == RULE.of_entity("home/hall")
    found = await kept(log, done)
    assert (found.event_id, found.named_by_client, found.key) == ("mine", True, "k")
    assert found.payload() == {"entity_id": "home/hall", "properties": {"v": 1}}


async def test_an_event_without_an_id_gets_one_of_its_own(publisher, log):
    first, second = [await publisher.publish(event("n/e", {"v": 1}), ANYONE) for _ in range(2)]
    assert first.event.event_id != second.event.event_id
    assert not (await kept(log, first)).named_by_client
    assert first.event.timestamp_ms > 1_600_000_000_000


async def test_an_event_without_an_entity_is_logged(publisher, log):
    done = await publisher.publish(event(None, note="kept", payload={"free": [1]}), ANYONE)
    assert (await kept(log, done)).payload() == {"free": [1]}


@pytest.mark.parametrize("body", [[], "text", 5, None, {}, {"stream": "a", "source": "b"}])
async def test_what_is_no_event_is_refused(publisher, body):
    with pytest.raises(Refused) as refused:
        await publisher.publish(body, ANYONE)
    assert refused.value.status == 400


async def test_of_many_each_lands_or_fails_alone_in_order(publisher, log):
    bodies = [event("a/1", {"v": 1}), 5, event("b/1", {"v": 2}), event("a/1", {"v": 2**64}), event("a/2", {})]
    outcomes = outcomes_of(await publisher.publish_all(bodies, ANYONE))
    assert [isinstance(outcome, Published) for outcome in outcomes] == [True, False, True, False, True]
    assert [(await kept(log, outcomes[index])).entity_id for index in (0, 2, 4)] == ["a/1", "b/1", "a/2"]
    assert "64 bits" in outcomes[3].message


async def test_many_of_one_partition_are_one_block_in_their_order(publisher, log):
    outcomes = outcomes_of(
        await publisher.publish_all([event("a/1", {"v": number}) for number in range(5)], ANYONE)
    )
    assert [unpack(outcome.position) for outcome in outcomes] == [(1, offset) for offset in range(5)]


async def test_one_that_nests_too_deep_fails_alone(publisher):
    deep: list[object] = []
    for _ in range(limits.json_depth_max):
        deep = [deep]
    outcomes = outcomes_of(
        await publisher.publish_all([event("a/1", {"v": deep}), event("a/1", {"v": 1})], ANYONE)
    )
    assert [isinstance(outcome, Published) for outcome in outcomes] == [False, True]


async def test_one_larger_than_the_logs_largest_message_is_413(publisher, log, monkeypatch):
    monkeypatch.setattr(type(log), "payload_bytes_max", limits.block_overhead_bytes_max + 1_000)
    with pytest.raises(Refused, match="at most 1000 bytes") as refused:
        await publisher.publish(event("n/e", {"text": "x" * 1_000}), ANYONE)
    assert refused.value.status == 413
    assert isinstance(await publisher.publish(event("n/e", {"text": "x" * 800}), ANYONE), Published)


async def test_an_event_that_is_not_known_to_be_durable_is_unavailable(publisher, log, monkeypatch):
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    log.away = True
    with pytest.raises(Unavailable):
        await publisher.publish(event("n/e", {"v": 1}), ANYONE)
    (outcome,) = outcomes_of(await publisher.publish_all([event("n/e", {"v": 1})], ANYONE))
    assert isinstance(outcome, Unavailable)


async def test_deletions_are_tombstones_under_ids_of_the_server(publisher, log):
    outcomes = outcomes_of(await publisher.delete_all(["a/1", "b/1"], ANYONE))
    found = [await kept(log, outcome) for outcome in outcomes]
    assert [(item.entity_id, item.deletes, item.named_by_client) for item in found] == [
        ("a/1", True, False),
        ("b/1", True, False),
    ]
    assert {item.stream for item in found} == {DELETE_STREAM}


async def test_no_client_writes_where_the_server_does(publisher):
    for entity_id in ("flux-core/directory", "flux-core", "flux-core-x/e"):
        with pytest.raises(Refused) as refused:
            await publisher.publish(event(entity_id, {"v": 1}), ANYONE)
        assert refused.value.status == 403


async def test_after_closing_nothing_new_is_taken(publisher):
    await publisher.publish(event("n/e", {"v": 1}), ANYONE)
    await publisher.close()
    with pytest.raises(Unavailable, match="closing"):
        await publisher.publish(event("n/e", {"v": 1}), ANYONE)


async def test_fields_that_nobody_knows_are_ignored(publisher):
    assert (
        await publisher.publish(event("n/e", {"v": 1}, unknown="ignored"), ANYONE)
    ).event.entity_id == "n/e"


async def test_nothing_at_all_is_done_at_once(publisher):
    assert (await publisher.publish_all([], ANYONE)).events == []


@pytest.fixture
def crowded(publisher, log, monkeypatch):
    """A committer that has a block in flight and takes two more events."""
    monkeypatch.setattr(limits, "queue_events_max", 2)
    gate = asyncio.Event()
    append = log.append

    async def held(*arguments):
        await gate.wait()
        return await append(*arguments)

    monkeypatch.setattr(log, "append", held)
    return gate


async def in_flight(publisher, count=2):
    """Publishes of one event each, the first of them on its way."""
    publishing = []
    for _ in range(count):
        publishing.append(asyncio.create_task(publisher.publish(event("a/1", {"v": 0}), ANYONE)))
        await settle()
    return publishing


async def test_many_that_are_not_taken_are_answered_all_the_same(publisher, crowded):
    waiting = await in_flight(publisher)
    for asked in (
        publisher.publish_all([event("a/1", {"v": 1})] * 3, ANYONE),
        publisher.delete_all(["a/1"] * 3, ANYONE),
    ):
        outcomes = outcomes_of(await asyncio.wait_for(asked, 10))
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
    crowded.set()
    await asyncio.gather(*waiting)


async def test_behind_one_that_is_not_taken_none_of_its_partition_is(publisher, log, crowded, monkeypatch):
    """The client sends that one again: it must not overwrite what stood behind it in the batch."""
    monkeypatch.setattr(limits, "block_events_max", 2)
    waiting = await in_flight(publisher)
    bodies = [event("a/1", {"v": number}) for number in range(5)]
    submission = asyncio.create_task(publisher.publish_all([*bodies[:1], *bodies[1:]], ANYONE))
    await settle()
    crowded.set()
    await asyncio.gather(*waiting)
    found = [type(outcome) for outcome in outcomes_of(await asyncio.wait_for(submission, 10))]
    assert found == sorted(found, key=lambda kind: kind is Unavailable)
    assert Unavailable in found


async def test_many_of_a_door_that_closes_are_answered(publisher):
    await publisher.close()
    outcomes = outcomes_of(
        await asyncio.wait_for(publisher.publish_all([event("a/1", {"v": 1})] * 3, ANYONE), 10)
    )
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    outcomes = outcomes_of(await asyncio.wait_for(publisher.delete_all(["a/1"], ANYONE), 10))
    assert {type(outcome) for outcome in outcomes} == {Unavailable}


async def test_one_of_many_that_is_too_large_for_the_log_fails_alone(publisher, log, monkeypatch):
    monkeypatch.setattr(type(log), "payload_bytes_max", limits.block_overhead_bytes_max + 1_000)
    bodies = [event("n/e", {"v": 1}), event("n/e", {"text": "x" * 1_000}), event("n/e", {"v": 2})]
    outcomes = outcomes_of(await asyncio.wait_for(publisher.publish_all(bodies, ANYONE), 10))
    assert [type(outcome) for outcome in outcomes] == [Published, Refused, Published]
    assert outcomes[1].status == 413
    assert [(await kept(log, outcomes[index])).properties for index in (0, 2)] == [{"v": 1}, {"v": 2}]
