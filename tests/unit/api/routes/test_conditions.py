"""Conditional writes and atomic batches over the app."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.api.standing import PARTITIONS, event

PATH = "/api/state/entities/n/e"


@pytest.fixture
async def etag(client):
    """The ETag of an entity that exists."""
    await client.post("/api/events?wait=applied", json=event("n/e", {"v": 1}))
    return (await client.get(PATH)).headers["etag"]


async def test_a_write_on_what_was_read_applies_once(client, etag):
    first = await client.post("/api/events", json=event("n/e", {"v": 2}), headers={"If-Match": etag})
    second = await client.post("/api/events", json=event("n/e", {"v": 3}), headers={"If-Match": etag})
    assert (first.status_code, second.status_code) == (200, 412)
    assert second.json()["entity"]["properties"] == {"v": 2}
    assert "changed since" in second.json()["error"]
    assert (await client.get(PATH)).json()["properties"] == {"v": 2}


async def test_the_position_of_a_write_is_the_etag_to_write_on(client, etag):
    written = await client.post("/api/events", json=event("n/e", {"v": 2}), headers={"If-Match": etag})
    again = {"If-Match": f'"{written.headers["flux-position"]}"'}
    assert (await client.post("/api/events", json=event("n/e", {"v": 3}), headers=again)).status_code == 200


async def test_only_the_first_makes_an_entity(client):
    bodies = [event("n/new", {"v": number}) for number in range(10)]
    answers = await asyncio.gather(
        *(client.post("/api/events", json=body, headers={"If-None-Match": "*"}) for body in bodies)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9
    (winner,) = [body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 200]
    entity = (await client.get("/api/state/entities/n/new")).json()
    assert entity["properties"] == winner["payload"]["properties"]
    assert all(a.json()["entity"] == entity for a in answers if a.status_code == 412)


async def test_what_is_not_there_is_told_as_null(client):
    answer = await client.post("/api/events", json=event("n/none", {"v": 1}), headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["entity"]) == (412, None)
    assert "there is none" in answer.json()["error"]


async def test_a_refused_write_does_not_use_its_event_id_up(client, etag):
    body = event("n/e", {"v": 2}, eventId="mine")
    assert (await client.post("/api/events", json=body, headers={"If-None-Match": "*"})).status_code == 412
    assert (await client.post("/api/events", json=body, headers={"If-Match": etag})).status_code == 200
    assert (await client.post("/api/events", json=body, headers={"If-Match": etag})).status_code == 200
    assert (await client.get(PATH)).json()["properties"] == {"v": 2}


async def test_a_condition_may_stand_in_the_event(client, etag):
    for condition, status in (
        ({"absent": True}, 412),
        ({"etag": etag}, 200),
        ({"etag": etag.strip('"')}, 412),
        ({"present": True}, 200),
    ):
        answer = await client.post("/api/events", json=event("n/e", {"v": 2}, condition=condition))
        assert answer.status_code == status, condition


@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": "0.1.0"},
        {"If-Match": 'W/"0.1.0"'},
        {"If-Match": '"0.1.0", "0.2.0"'},
        {"If-Match": '"nonsense"'},
        {"If-Match": '"0.1.0~1.1.0"'},
        {"If-Match": ""},
        {"If-None-Match": '"0.1.0"'},
        {"If-None-Match": "*", "If-Match": "*"},
    ],
)
async def test_a_conditional_header_that_means_nothing_is_400(client, standing, headers):
    answer = await client.post("/api/events", json=event("n/e", {"v": 1}), headers=headers)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert [(await standing.log.bounds(partition)).last for partition in range(PARTITIONS)] == [0, 0, 0]


@pytest.mark.parametrize(
    "condition", [5, {}, [], {"etag": 5}, {"absent": False}, {"absent": True, "etag": "x"}]
)
async def test_a_condition_that_is_none_is_400(client, condition):
    answer = await client.post("/api/events", json=event("n/e", {"v": 1}, condition=condition))
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


async def test_a_condition_needs_an_entity_and_one_place(client):
    answer = await client.post("/api/events", json=event(None, condition={"absent": True}))
    assert answer.status_code == 400
    body = event("n/e", {"v": 1}, condition={"absent": True})
    assert (await client.post("/api/events", json=body, headers={"If-Match": "*"})).status_code == 400
    batch = await client.post("/api/events/batch", json=[body], headers={"If-Match": "*"})
    assert batch.status_code == 400


async def test_a_deletion_may_have_a_condition(client, etag):
    await client.post("/api/events?wait=applied", json=event("n/e", {"v": 2}))
    late = await client.delete(PATH, headers={"If-Match": etag})
    assert (late.status_code, late.json()["entity"]["properties"]) == (412, {"v": 2})
    now = (await client.get(PATH)).headers["etag"]
    assert (await client.delete(PATH, headers={"If-Match": now})).status_code == 200
    assert (await client.delete(f"{PATH}?wait=applied", headers={"If-Match": now})).status_code == 412
    assert (await client.get(PATH)).status_code == 404


async def test_in_a_batch_each_condition_stands_alone(client, etag):
    bodies = [
        event("n/e", {"v": 2}, condition={"etag": etag}),
        event("n/e", {"v": 3}, condition={"etag": etag}),
        event("n/other", {"v": 1}),
    ]
    answer = (await client.post("/api/events/batch", json=bodies)).json()
    assert (answer["successful"], answer["failed"]) == (2, 1)
    assert [result["error"] is None for result in answer["results"]] == [True, False, True]
    assert (await client.get(PATH)).json()["properties"] == {"v": 2}


async def test_in_a_large_batch_too(client, etag):
    bodies = [event("n/e", {"v": 2}, condition={"absent": True})]
    bodies += [event(f"n/{number}", {"v": 1}) for number in range(2_500)]
    answer = (await client.post("/api/events/batch", json=bodies)).json()
    assert (answer["successful"], answer["failed"]) == (2_500, 1)
    assert "was not met" in answer["results"][0]["error"]
    assert (await client.get(PATH)).headers["etag"] == etag


async def test_an_atomic_batch_applies_whole(client, etag):
    bodies = [event("n/e", {"v": 2}, condition={"etag": etag}), event("n/log", {"moved": True})]
    answer = await client.post("/api/events/batch?atomic=true&wait=applied", json={"events": bodies})
    assert (answer.status_code, answer.json()["successful"]) == (200, 2)
    assert (await client.get(PATH)).json()["properties"] == {"v": 2}
    assert (await client.get("/api/state/entities/n/log")).status_code == 200


async def test_or_not_at_all(client, etag):
    bodies = [event("n/log", {"moved": True}), event("n/e", {"v": 2}, condition={"absent": True})]
    answer = (await client.post("/api/events/batch?atomic=true", json=bodies)).json()
    assert (answer["successful"], answer["failed"]) == (0, 2)
    assert "another event was refused" in answer["results"][0]["error"]
    assert "was not met" in answer["results"][1]["error"]
    assert (await client.get("/api/state/entities/n/log")).status_code == 404
    assert (await client.get(PATH)).headers["etag"] == etag


async def test_every_event_of_a_refused_atomic_batch_is_told_so(client, etag):
    bodies = [
        event("n/1", {"v": 1}),
        event("n/e", {"v": 2}, condition={"etag": etag}),
        event("n/none", {"v": 2}, condition={"present": True}),
        event("n/2", {"v": 1}),
    ]
    answer = (await client.post("/api/events/batch?atomic=true", json=bodies)).json()
    assert (answer["successful"], answer["failed"]) == (0, 4)
    told = ["another event" if "another event" in r["error"] else "none" for r in answer["results"]]
    assert told == ["another event", "another event", "none", "another event"]
    for name in ("1", "2"):
        assert (await client.get(f"/api/state/entities/n/{name}")).status_code == 404


async def test_a_bad_event_keeps_all_of_an_atomic_batch_out_of_the_log(client, standing):
    bodies = [event("n/1", {"v": 1}), event("n/2", {"v": 1}, stream="NO"), event("n/3", {"v": 1})]
    answer = (await client.post("/api/events/batch?atomic=true", json=bodies)).json()
    assert (answer["successful"], answer["failed"]) == (0, 3)
    assert ["stream" in result["error"] for result in answer["results"]] == [False, True, False]
    assert [(await standing.log.bounds(partition)).last for partition in range(PARTITIONS)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("bodies", "status", "word"),
    [
        ([event("n/1", {"v": 1}), event("m/1", {"v": 1})], 400, "one namespace"),
        ([event("n/1", {"v": 1}), event(None)], 400, "entity_id"),
        ([event(f"wide/{number}", {"v": 1}) for number in range(20)], 400, "spread"),
        ([event(f"n/{number}", {"v": 1}) for number in range(4_001)], 413, "4000"),
        ([event(f"n/{number}", {"text": "x" * 1_024}) for number in range(600)], 413, "bytes"),
    ],
)
async def test_what_cannot_be_kept_together_is_refused(client, standing, bodies, status, word):
    answer = await client.post("/api/events/batch?atomic=true", json=bodies)
    assert answer.status_code == status
    assert word in answer.json()["error"]
    assert [(await standing.log.bounds(partition)).last for partition in range(PARTITIONS)] == [0, 0, 0]


async def test_an_atomic_batch_of_too_many_is_not_even_read(client, monkeypatch):
    monkeypatch.setattr("flux_api.routes.events.read_batch", None)  # a quarter of a second of 10 MiB
    bodies = [event(f"n/{number}", {"v": 1}) for number in range(4_001)]
    answer = await client.post("/api/events/batch?atomic=true", json=bodies)
    assert (answer.status_code, "4000" in answer.json()["error"]) == (413, True)


async def test_an_atomic_batch_sent_again_applies_once(client):
    bodies = [event("n/1", {"v": 1}, eventId="a"), event("n/2", {"v": 1}, eventId="b")]
    for _ in range(2):
        answer = await client.post("/api/events/batch?atomic=true&wait=applied", json=bodies)
        assert answer.json()["successful"] == 2
    history = await client.get("/api/events", params={"entity": "n/1"})
    assert len(history.json()) == 1


async def test_ten_who_race_lose_no_increment(client):
    await client.post("/api/events?wait=applied", json=event("n/counter", {"n": 0}))

    async def increment() -> int:
        for tries in range(1_000):
            read = await client.get("/api/state/entities/n/counter")
            body = event("n/counter", {"n": read.json()["properties"]["n"] + 1})
            answer = await client.post("/api/events", json=body, headers={"If-Match": read.headers["etag"]})
            if answer.status_code == 200:
                return tries
            assert answer.status_code == 412
        raise AssertionError("it never succeeded")

    for _ in range(3):
        await asyncio.gather(*(increment() for _ in range(10)))
    await asyncio.sleep(0)
    last = await client.post("/api/events?wait=applied", json=event("n/counter", {"seen": True}))
    assert last.json()["entity"]["properties"]["n"] == 30
