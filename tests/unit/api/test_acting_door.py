"""A door of entities with reducers: what it tells is what the shard has, now and of the past."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from flux_actors import limits
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.domain.acting.catalogue import Catalogue, Deployed
from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.change import decode_feed
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.position import pack
from flux_actors.domain.terms import STOP, Order, Terms
from flux_actors.log.block import CONTROL, encode_block, encode_event
from flux_actors.log.ports import feed_subject
from flux_actors.past.answering import Answering
from tests.unit.api.standing import PARTITIONS, Standing, event
from tests.unit.domain.acting.small_acting import COUNTING, LAST, note, version
from tests.unit.past.folding import Digests, LoadedFunctions

COUNTS = [Deployed("Counts", version(COUNTING, "n/*", ["reduce"]))]
KEEPS = [Deployed("Counts", version(LAST, "n/*", ["reduce"]))]


class Acting:
    """A door whose shard has reducers."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.door = standing.door
        self._numbers = itertools.count(1)
        functions = LoadedFunctions()
        equipment: Any = SimpleNamespace(reducers=functions, reducer_code=ReducerCode(functions, Digests()))
        for host in standing.shard._hosts.values():  # noqa: SLF001 - they are there before a test begins
            host.equipment = equipment
            host.equip(host.state)
        code = ReducerCode(LoadedFunctions(), Digests())
        self.door.past.folds = Answering(standing.log, standing.store, code)

    async def deploy(self, deployed: list[Deployed]) -> None:
        control = note(Terms(control=Catalogue(next(self._numbers), deployed)))
        for partition in range(PARTITIONS):
            await self.write(partition, control, flags=CONTROL)

    async def write(self, partition: int, *events: Event, flags: int = 0) -> None:
        """Store a block and wait until the door has heard of it."""
        number = next(self._numbers)
        encoded = [encode_event(one) for one in events]
        data = encode_block(9, number, 1_000, encoded, termed=True, flags=flags)
        sequence = await self.standing.log.append(partition, data, f"block {number}", 10.0)
        await self.door.feeds.parts[partition].reached(sequence, 10.0)

    def partition(self, entity_id: str) -> int:
        return self.door.partitioning.of_entity(entity_id)

    def of_shard(self, entity_id: str) -> Any:
        """Return properties and position of an entity, as its shard has them."""
        state = self.standing.shard._hosts[self.partition(entity_id)].state  # noqa: SLF001
        actor = state.entities.get(entity_id)
        return None if actor is None or not actor.lives else (actor.properties, actor.position)

    async def of_door(self, entity_id: str) -> Any:
        """Return the same as the door's view has it."""
        entity = await self.door.view.get(entity_id)
        return (entity.properties, entity.position) if entity.lives else None


@pytest.fixture
async def standing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standing]:
    """A door whose readers have time to wait."""
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(read_wait_ms=5_000)
    yield standing
    await standing.down()


@pytest.fixture
async def acting(standing: Standing) -> Acting:
    return Acting(standing)


async def test_a_live_view_is_what_the_shard_has(acting: Acting) -> None:
    standing, ids = acting.standing, ["n/a", "n/b", "m/c"]
    for entity_id in ids:
        await acting.of_door(entity_id)  # from now on its view follows the feed
    await standing.publish(*(event(entity_id, {"n": 5, "x": 1}) for entity_id in ids))
    await acting.deploy(COUNTS)
    gone = {"__deleted__": True}
    bodies: list[list[dict[str, Any]]] = [
        [event("n/a", {"n": 1}), event("n/a", {"n": 2}), event("m/c", {"n": 2})],
        [event("n/b", {"n": "one"})],
        [event("n/b", gone), event("n/b", {"n": 7})],
        [
            event("n/a", {"n": 3}, condition={"absent": True}),
            event("n/b", {"n": 3}, condition={"present": True}),
        ],
        [event("n/a", {"n": 1}, eventId="twice"), event("n/a", {"n": 1}, eventId="twice")],
        [
            {
                "stream": "s",
                "source": "s",
                "payload": {"entity_id": "n/a", "properties": {"n": 9}, "ttl_ms": 60_000},
            }
        ],
        [event("n/a", gone)],
        [event("n/a", {"n": 4})],
    ]
    for some in bodies:
        await standing.publish(*some)
        for entity_id in ids:
            assert await acting.of_door(entity_id) == acting.of_shard(entity_id), some
    await acting.deploy(KEEPS)
    await standing.publish(event("n/b", {"n": 8}))
    assert await acting.of_door("n/b") == acting.of_shard("n/b")
    assert acting.of_shard("n/b")[0] == {"events": None, "sum": 10, "last": 8}


async def test_an_atomic_batch_on_reduced_entities_is_applied_whole_or_not_at_all(
    acting: Acting, client: httpx.AsyncClient
) -> None:
    await acting.deploy(COUNTS)
    for condition, told in (({"absent": True}, 2), ({"absent": True}, 0), ({"present": True}, 2)):
        some = [event("n/a", {"n": 1}, condition=condition), event("n/b", {"n": 2})]
        answer = await client.post("/api/events/batch?atomic=true&wait=applied", json=some)
        assert answer.json()["successful"] == told
        for entity_id in ("n/a", "n/b"):
            assert await acting.of_door(entity_id) == acting.of_shard(entity_id)
    assert acting.of_shard("n/b")[0] == {"events": 2, "sum": 4}


async def test_who_waits_reads_what_the_reducer_made(acting: Acting, client: httpx.AsyncClient) -> None:
    await acting.deploy(COUNTS)
    for number in (1, 2):
        answer = await client.post("/api/events?wait=applied", json=event("n/a", {"n": 5}))
        assert answer.json()["entity"]["properties"] == {"events": number, "sum": 5 * number}
    failed = await client.post("/api/events?wait=applied", json=event("n/a", {"n": "one"}))
    assert failed.json()["entity"]["properties"] == {"events": 2, "sum": 10}
    read = await client.get("/api/state/entities/n/a", params={"at_least": failed.headers["flux-position"]})
    assert read.json()["properties"] == {"events": 2, "sum": 10}


async def test_a_conditional_write_goes_by_what_the_reducer_made(
    acting: Acting, client: httpx.AsyncClient
) -> None:
    await acting.deploy(COUNTS)
    await acting.standing.publish(event("n/a", {"n": 5}))
    etag = (await client.get("/api/state/entities/n/a")).headers["etag"]
    await acting.standing.publish(event("n/a", {"n": "one"}))  # changes nothing
    headers = {"If-Match": etag}
    for status, total in ((200, 6), (412, 6)):
        answer = await client.post("/api/events?wait=applied", json=event("n/a", {"n": 1}), headers=headers)
        assert answer.status_code == status
        assert answer.json()["entity"]["properties"] == {"events": 2, "sum": total}


async def test_a_claim_is_no_event_for_the_reducer(acting: Acting, client: httpx.AsyncClient) -> None:
    await acting.deploy(COUNTS)
    await acting.standing.publish(event("n/a", {"n": 5}))
    wish = {"entity_id": "n/a", "holder": "me", "ttl_ms": 60_000}
    taken = await client.post("/api/claims", json=wish)
    assert taken.status_code == 200, taken.text
    refused = await client.post("/api/claims", json=wish | {"holder": "other"})
    assert refused.status_code == 409
    assert await acting.of_door("n/a") == acting.of_shard("n/a")
    assert acting.of_shard("n/a")[0]["sum"] == 5


async def test_the_past_of_an_entity_that_ever_had_a_reducer_is_folded(
    acting: Acting, client: httpx.AsyncClient
) -> None:
    """Its own events do not tell what it was, also when its behaviour is gone long since."""
    seen: list[tuple[str, Any]] = []

    async def publish(number: int) -> None:
        answer = await client.post("/api/events?wait=applied", json=event("n/a", {"n": number}))
        seen.append((answer.headers["flux-position"], answer.json()["entity"]["properties"]))

    await publish(1)
    for deployed in (COUNTS, KEEPS, []):
        await acting.deploy(deployed)
        await publish(2)
        await publish(3)
    assert len({str(properties) for _, properties in seen}) == 7
    for position, properties in seen:
        answer = await client.get("/api/state/entities/n/a", params={"at": position})
        assert answer.json()["properties"] == properties
        page = await client.get("/api/state/entities", params={"namespace": "n", "at": position})
        assert [row["properties"] for row in page.json()] == [properties]


async def test_notes_about_behaviours_are_nobodys_events(acting: Acting, client: httpx.AsyncClient) -> None:
    heard: list[Any] = []

    async def receive(data: bytes) -> None:
        heard.append(decode_feed(data))

    partition = acting.partition("n/a")
    await acting.standing.bus.subscribe(feed_subject(partition), receive)
    await acting.deploy(COUNTS)
    await acting.standing.publish(event("n/a", {"n": 5}))
    total = heard[-1].events_total
    order = Order(STOP, "n/a", "took too long", pack(2, 0), {"sum": 4}, sets_state=True)
    cause = Cause(partition, "n/a", pack(2, 0), 0, 0)
    made = Event("n/b", {"n": 1}, "effect.1", False, "flux-behaviour.Counts", "flux.effect", 1)
    effect = with_terms(made, Terms(cause=cause))
    await acting.write(partition, note(Terms(order=order)), note(Terms(handled=[pack(2, 0)])))
    assert await acting.of_door("n/a") == acting.of_shard("n/a")
    assert acting.of_shard("n/a")[0] == {"sum": 4, "events": None}
    assert heard[-1].events_total == total
    await acting.write(acting.partition("n/b"), effect)
    await acting.write(acting.partition("n/b"), effect)
    assert {source for one in heard for source in one.sources} <= {"test", "flux-behaviour.Counts"}
    events = await client.get("/api/events", params={"entity": "n/a", "since": "1970-01-01T00:00:00Z"})
    assert [one["payload"]["properties"] for one in events.json()] == [{"n": 5}]
    effects = await client.get("/api/events", params={"entity": "n/b", "since": "1970-01-01T00:00:00Z"})
    assert [one["source"] for one in effects.json()] == ["flux-behaviour.Counts"]
