"""Publishing over the app."""

from __future__ import annotations

import pytest

from flux_actors.domain.position import parse
from tests.unit.api.standing import PARTITIONS, event


async def test_an_event_is_answered_with_its_id_stream_and_position(client, standing):
    answer = await client.post("/api/events", json=event("n/e", {"v": 1}, eventId="mine"))
    assert (answer.status_code, answer.json()) == (200, {"eventId": "mine", "stream": "test"})
    (partition,) = parse(answer.headers["flux-position"], PARTITIONS)
    assert (await standing.log.bounds(partition)).last == 1


@pytest.mark.parametrize(
    ("query", "headers"), [("?wait=applied", {}), ("", {"Prefer": "wait=applied"})], ids=["query", "prefer"]
)
async def test_a_client_that_waits_gets_the_entity(client, query, headers):
    answer = await client.post(f"/api/events{query}", json=event("n/e", {"v": 1}), headers=headers)
    assert answer.json()["entity"]["properties"] == {"v": 1}
    gone = await client.post(f"/api/events{query}", json=event("n/e", {"__deleted__": True}), headers=headers)
    assert gone.json()["entity"] is None
    stateless = await client.post(f"/api/events{query}", json=event(None), headers=headers)
    assert stateless.json()["entity"] is None


async def test_a_batch_tells_of_each_event_in_order(client):
    bodies = [
        event("a/1", {"v": 1}, eventId="one"),
        event("flux-core/x", {"v": 1}, eventId="two"),
        "no event",
        event("w/1", {"v": 1}, eventId="four"),
    ]
    answer = await client.post("/api/events/batch", json={"events": bodies})
    body = answer.json()
    assert (answer.status_code, body["successful"], body["failed"]) == (200, 2, 2)
    assert [result["eventId"] for result in body["results"]] == ["one", "two", None, "four"]
    assert [result["stream"] for result in body["results"]] == ["test", "test", None, "test"]
    assert [result["error"] is None for result in body["results"]] == [True, False, False, True]
    assert len(parse(answer.headers["flux-position"], PARTITIONS)) in {1, 2}


async def test_a_batch_may_be_a_bare_array(client):
    answer = await client.post("/api/events/batch?wait=applied", json=[event("n/e", {"v": 1})])
    assert answer.json()["successful"] == 1
    assert (await client.get("/api/state/entities/n/e")).status_code == 200


async def test_a_batch_of_failures_is_200_without_a_position(client):
    answer = await client.post("/api/events/batch", json=[1, 2])
    assert (answer.status_code, answer.json()["failed"]) == (200, 2)
    assert "flux-position" not in answer.headers


@pytest.mark.parametrize("body", [b"", b"[]", b'{"events": []}', b"{}", b"5", b'{"events": {}}', b"[1"])
async def test_what_is_no_batch_is_refused(client, body):
    assert (await client.post("/api/events/batch", content=body)).status_code == 400


@pytest.mark.parametrize(("path", "limit"), [("", "single"), ("/batch", "batch")])
async def test_limits_can_be_changed_while_it_runs(client, standing, path, limit):
    name = f"body_size_limit_{limit}_bytes"
    body = event("n/e", {"text": "x" * 1_024})
    body = [body] if path else body
    assert (await client.post(f"/api/events{path}", json=body)).status_code == 200
    await standing.door.config.change({name: 1_024}, "test", standing.door.audit)
    assert (await client.post(f"/api/events{path}", json=body)).status_code == 413
