"""How subscriptions begin: with states, behind a position, with a condition; without a gap or a repeat."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.domain.position import pack
from tests.unit.api.standing import event, until
from tests.unit.api.watching.watchers import Client, Fold, brief

GONE = {"__deleted__": True}


@pytest.fixture
def client(standing):
    return Client(standing)


@pytest.fixture
def gate(standing, monkeypatch):
    """Keeps the shard's rows back until it is set."""
    gate, rows = asyncio.Event(), standing.shard.rows

    async def later(*arguments):
        await gate.wait()
        return await rows(*arguments)

    monkeypatch.setattr(standing.shard, "rows", later)
    return gate


async def told(client):
    await until(lambda: client.settled)
    return brief(client.take())


async def test_the_present_state_comes_first_then_updates(standing, client):
    await standing.publish(event("a/1", {"v": 1}), event("a/2", {"v": 2}), event("b/1", {"v": 3}))
    client.subscribe("a/*", initial=True)
    assert await told(client) == [("state", "a/1", {"v": 1}), ("state", "a/2", {"v": 2})]
    await standing.publish(event("a/1", {"w": 4}), event("b/1", {"w": 5}), event("a/2", GONE))
    assert brief(client.take()) == [("update", "a/1", {"w": 4}), ("entity_deleted", "a/2")]


@pytest.mark.parametrize("pattern", ["*", "a/1"])
async def test_all_and_one_begin_alike(standing, client, pattern):
    await standing.publish(event("a/1", {"v": 1}), event("dead/1", {"v": 1}), event("dead/1", GONE))
    client.subscribe(pattern, initial=True)
    assert await told(client) == [("state", "a/1", {"v": 1})]


async def test_a_state_has_an_entity_and_its_position(standing, client):
    await standing.publish(event("a/1", {"v": 1}))
    client.subscribe("a/1", initial=True)
    await until(lambda: client.settled)
    (message,) = client.take()
    entity = await standing.door.view.get("a/1")
    assert set(message) == {"type", "entity", "position"}
    assert set(message["entity"]) == {"id", "properties", "lastUpdated"}
    assert message["position"] == entity.etag.strip('"')


async def test_many_states_come_page_by_page(standing, client, monkeypatch):
    monkeypatch.setattr(limits, "run_ids_max", 3)
    await standing.publish(*(event(f"a/{n:02}", {"v": n}) for n in range(20)))
    client.subscribe("a/*", initial=True)
    assert await told(client) == [("state", f"a/{n:02}", {"v": n}) for n in range(20)]


async def test_a_resumed_subscription_is_told_what_it_missed_once(standing, client):
    await standing.publish(event("a/1", {"v": 1}))
    places = standing.door.positions(standing.door.hub.place_of("a/*"))
    await standing.publish(event("a/1", {"v": 2}), event("b/1", {"v": 2}))
    await standing.publish(event("a/1", {"v": 3}), event("a/1", GONE), event("a/2", {"v": 4}))
    client.subscribe("a/*", places=places, delta=True)
    await standing.publish(event("a/2", {"v": 5}))
    await until(lambda: client.settled)
    await standing.publish(event("a/2", {"v": 6}))
    assert brief(client.take()) == [
        ("delta", "a/1", {"v": 2}),
        ("delta", "a/1", {"v": 3}),
        ("entity_deleted", "a/1"),
        ("delta", "a/2", {"v": 4}),
        ("delta", "a/2", {"v": 5}),
        ("delta", "a/2", {"v": 6}),
    ]


async def test_it_resumes_in_the_middle_of_a_block(standing, client):
    await standing.publish(*(event("a/1", {"v": v}) for v in range(5)))
    partition = standing.door.partitioning.of_entity("a/1")
    sequence = standing.door.feeds.parts[partition].sequence
    client.subscribe("a/1", places={partition: pack(sequence, 2)}, delta=True)
    assert await told(client) == [("delta", "a/1", {"v": 3}), ("delta", "a/1", {"v": 4})]


@pytest.mark.parametrize("initial", [True, False])
async def test_a_position_that_is_gone_is_told_and_states_follow_if_asked_for(standing, client, initial):
    await standing.publish(event("a/1", {"v": 1}))
    client.subscribe("a/*", places={}, initial=initial)
    states = [("state", "a/1", {"v": 1})] if initial else []
    assert await told(client) == [("resync", "a/*"), *states]
    await standing.publish(event("a/1", {"v": 2}))
    assert brief(client.take()) == [("update", "a/1", {"v": 2})]


async def test_a_position_behind_the_log_is_of_another_one(standing, client):
    await standing.publish(event("a/1", {"v": 1}))
    partition = standing.door.partitioning.of_entity("a/1")
    client.subscribe("a/1", places={partition: pack(1_000, 0)})
    assert await told(client) == [("resync", "a/1")]


async def test_too_much_to_be_told_again_is_a_resync(standing, client, monkeypatch):
    monkeypatch.setattr(limits, "resume_changes_max", 3)
    places = standing.door.positions(standing.door.hub.place_of("*"))
    await standing.publish(*(event(f"a{n}/1", {"v": n}) for n in range(4)))
    client.subscribe("*", places=places)
    assert await told(client) == [("resync", "*")]


async def test_what_was_recalled_of_one_partition_is_forgotten_when_all_is_too_much(
    standing, client, monkeypatch
):
    monkeypatch.setattr(limits, "resume_changes_max", 2)
    places = standing.door.positions(standing.door.hub.place_of("wide/*"))
    await standing.publish(*(event(f"wide/{n}", {"v": n}) for n in range(9)))
    client.subscribe("wide/*", places=places, initial=True, delta=True)
    await standing.publish(*(event(f"wide/{n}", {"v": -n}) for n in range(9)))
    await until(lambda: client.settled)
    fold = Fold(standing.door.positions)
    for message in client.take():
        fold.take(message)
    assert fold.resyncs == 1
    assert fold.entities == {f"wide/{n}": {"v": -n} for n in range(9)}


async def test_a_condition_is_asked_of_the_new_state(standing, client):
    await standing.publish(event("a/1", {"v": 1, "name": "one"}), event("a/2", {"v": 5}))
    client.subscribe("a/*", where="v > 3", initial=True, delta=True)
    assert await told(client) == [("state", "a/2", {"v": 5})]
    await standing.publish(event("a/1", {"v": 4}), event("a/1", {"v": 6}), event("a/2", {"v": 1}))
    await standing.publish(event("a/2", GONE), event("a/1", GONE), event("a/3", {"v": 0}))
    assert brief(client.take()) == [
        ("delta", "a/1", {"v": 4, "name": "one"}),  # it has come into sight
        ("delta", "a/1", {"v": 6}),
        ("left", "a/2"),
        ("entity_deleted", "a/1"),
    ]


async def test_a_condition_without_states_tells_what_changes_while_it_gets_ready(standing, client, gate):
    await standing.publish(event("a/1", {"v": 5}), event("a/2", {"v": 5}), event("a/3", {"v": 5}))
    client.subscribe("a/*", where="v > 3", delta=True)
    await standing.publish(event("a/1", {"v": 6}), event("a/2", {"v": 0}))
    gate.set()
    await until(lambda: client.settled)
    assert brief(client.take()) == [("delta", "a/1", {"v": 6})]


async def test_a_condition_resumes_where_nothing_has_happened_and_begins_anew_elsewhere(standing):
    await standing.publish(event("a/1", {"v": 5}))
    places = standing.door.positions(standing.door.hub.place_of("a/*"))
    first = Client(standing).subscribe("a/*", where="v > 3", places=places)
    assert await told(first) == []
    await standing.publish(event("a/1", {"v": 6}))
    assert brief(first.take()) == [("update", "a/1", {"v": 6})]
    second = Client(standing).subscribe("a/*", where="v > 3", places=places)
    assert await told(second) == [("resync", "a/*"), ("state", "a/1", {"v": 6})]


async def live_of(client):
    """Return the message that says that a subscription is live, which must be the last."""
    await until(lambda: client.settled)
    *_, last = client.take()
    assert (last["type"], last["id"]) == ("live", "mine")
    return last


@pytest.mark.parametrize(
    "options", [{"initial": True}, {"where": "v > 0"}, {"initial": True, "where": "v > 0"}]
)
async def test_who_asks_for_it_is_told_when_all_has_come_and_can_come_back_from_there(
    standing, client, options
):
    await standing.publish(event("a/1", {"v": 1}), event("wide/1", {"v": 1}), event("wide/2", {"v": 1}))
    client.subscribe("*", **options, live=True)
    live = await live_of(client)
    assert live["entity_id"] == "*"
    places = standing.door.positions(live["position"])
    assert set(places) == set(standing.door.partitioning.all())
    await standing.publish(event("a/1", {"v": 2}))
    again = Client(standing).subscribe("*", places=places)
    assert await told(again) == [("update", "a/1", {"v": 2})]


async def test_one_that_begins_with_nothing_is_live_at_once(standing, client):
    client.subscribe("a/*", delta=True, live=True)
    await standing.publish(event("a/1", {"v": 1}))
    await until(lambda: client.settled)
    assert sorted(message["type"] for message in client.take()) == ["delta", "live"]


async def test_it_is_told_again_after_a_resync_and_behind_what_was_missed(standing, client, monkeypatch):
    client.subscribe("a/*", initial=True, live=True)
    places = standing.door.positions((await live_of(client))["position"])
    await standing.publish(event("a/1", {"v": 1}), event("a/1", {"v": 2}))
    missed = Client(standing).subscribe("a/*", places=places, live=True)
    assert standing.door.positions((await live_of(missed))["position"]) != places
    monkeypatch.setattr(limits, "resume_changes_max", 1)
    lost = Client(standing).subscribe("a/*", places=places, initial=True, live=True)
    await live_of(lost)
    assert [message["type"] for message in lost.told] == ["resync", "state", "live"]


async def test_what_comes_into_sight_while_a_mirror_fills_is_told_in_the_order_of_the_log(
    standing, client, gate
):
    await standing.publish(event("a/1", {"v": 0}), event("a/2", {"v": 0}), event("a/3", {"v": 0}))
    client.subscribe("a/*", where="v > 0", delta=True)
    for name in "312":
        await standing.publish(event(f"a/{name}", {"v": 1}))
    gate.set()
    assert [entity_id for _, entity_id, *_ in await told(client)] == ["a/3", "a/1", "a/2"]
