"""Reading and deleting entities over the app."""

from __future__ import annotations

import pytest

from flux_actors import limits
from tests.unit.api.standing import event


@pytest.fixture
async def house(standing):
    """Some entities."""
    await standing.publish(
        event("home/hall", {"v": 1}),
        event("home/attic/lamp", {"v": 2}),
        event("wide/1", {"v": 3}),
        event("wide/2", {"v": 4}),
        event("lonely", {"v": 5}),
    )


async def test_an_entity_is_read_by_its_raw_or_its_escaped_id(client, house):
    raw = await client.get("/api/state/entities/home/attic/lamp")
    escaped = await client.get("/api/state/entities/home%2Fattic%2Flamp")
    assert set(raw.json()) == {"id", "properties", "lastUpdated"}
    assert raw.json() == escaped.json()
    assert raw.headers["etag"] == escaped.headers["etag"]


async def test_one_that_is_not_there_is_404(client):
    answer = await client.get("/api/state/entities/n/never")
    assert (answer.status_code, answer.json()) == (404, {"error": "Entity not found"})


async def test_a_copy_that_is_fresh_is_304(client, standing, house):
    etag = (await client.get("/api/state/entities/lonely")).headers["etag"]
    for tags in (etag, f'"x", W/{etag}', "*"):
        fresh = await client.get("/api/state/entities/lonely", headers={"If-None-Match": tags})
        assert (fresh.status_code, fresh.content, fresh.headers["etag"]) == (304, b"", etag)
    await standing.publish(event("lonely", {"v": 6}))
    stale = await client.get("/api/state/entities/lonely", headers={"If-None-Match": etag})
    assert stale.json()["properties"] == {"v": 6}


async def test_a_304_varies_as_the_entity_itself_would(client, standing):
    await standing.publish(event("n/small", {"v": 1}), event("n/large", {"v": "x" * 600}))
    for name in ("small", "large"):
        whole = await client.get(f"/api/state/entities/n/{name}")
        fresh = await client.get(
            f"/api/state/entities/n/{name}", headers={"If-None-Match": whole.headers["etag"]}
        )
        assert (fresh.status_code, fresh.headers["vary"]) == (304, whole.headers["vary"])
    assert "Accept-Encoding" in whole.headers["vary"]


@pytest.mark.parametrize("path", ["n%FFe", "n%00e", "x" * 513, "", "n%0Ae"])
async def test_an_id_that_is_none_is_refused(client, path):
    assert (await client.get(f"/api/state/entities/{path}")).status_code == 400


async def test_a_read_includes_the_position_it_names_or_says_that_it_cannot(client, standing):
    done = await client.post("/api/events", json=event("n/e", {"v": 1}))
    position = done.headers["flux-position"]
    for answer in (
        await client.get("/api/state/entities/n/e", headers={"Flux-Position": position}),
        await client.get("/api/state/entities/n/e", params={"at_least": position}),
    ):
        assert answer.json()["properties"] == {"v": 1}
    partition = position.partition(".")[0]
    standing.hurry()
    late = await client.get("/api/state/entities/n/e", params={"at_least": f"{partition}.99.0"})
    assert (late.status_code, "retry-after" in late.headers) == (503, True)
    assert (await client.get("/api/state/entities/n/e", params={"at_least": "x"})).status_code == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["home/attic/lamp", "home/hall", "lonely", "wide/1", "wide/2"]),
        ("?namespace=home", ["home/attic/lamp", "home/hall"]),
        ("?namespace=wide", ["wide/1", "wide/2"]),
        ("?prefix=home/h", ["home/hall"]),
        ("?prefix=l", ["lonely"]),
        ("?namespace=home&prefix=wide/", []),
        ("?namespace=home&prefix=home/a", ["home/attic/lamp"]),
        ("?namespace=hom", []),
    ],
)
async def test_lists_are_sorted_and_their_filters_are_anded(client, house, query, expected):
    answer = await client.get(f"/api/state/entities{query}")
    assert [entity["id"] for entity in answer.json()] == expected
    joined = "&" if query else "?"
    assert (await client.get(f"/api/state/entities{query}{joined}count=true")).json() == {
        "count": len(expected)
    }
    assert (await client.head(f"/api/state/entities{query}")).headers["flux-count"] == str(len(expected))


@pytest.mark.parametrize("name", ["at"])
async def test_what_lists_lack_is_refused_rather_than_ignored(client, name):
    assert (await client.get("/api/state/entities", params={name: "1"})).status_code == 400


async def test_many_are_read_in_one_call_in_the_order_asked(client, house):
    answer = await client.post("/api/state/entities/get", json={"ids": ["wide/2", "n/never", "lonely"]})
    assert [entity["id"] for entity in answer.json()["entities"]] == ["wide/2", "lonely"]
    assert answer.json()["missing"] == ["n/never"]


async def test_many_are_answered_alike_before_and_after_the_door_knows_them(client, standing, house):
    ids = ["wide/2", "n/never", "lonely", "n/never", "wide/2"]
    cold = await client.post("/api/state/entities/get", json={"ids": ids})
    warm = await client.post("/api/state/entities/get", json={"ids": ids})
    assert warm.content == cold.content
    assert warm.json()["missing"] == ["n/never", "n/never"]
    await standing.publish(event("n/never", {"v": 9}))
    late = await client.post("/api/state/entities/get", json={"ids": ids})
    assert [entity["id"] for entity in late.json()["entities"]] == ids


@pytest.mark.parametrize(
    "body",
    [
        *([], {}, {"ids": "n/e"}, {"ids": [5]}, {"ids": [""]}),
        *({"ids": [["lonely"]]}, {"ids": [{}]}, {"ids": ["lonely", None]}),
    ],
)
async def test_ids_that_are_none_are_refused(client, standing, house, body):
    await client.get("/api/state/entities/lonely")
    assert (await client.post("/api/state/entities/get", json=body)).status_code == 400
    position = {"at_least": "0.1.0"}
    answer = await client.post("/api/state/entities/get", json=body, params=position)
    assert answer.status_code == 400


async def test_too_many_ids_are_refused_with_their_number(client, monkeypatch):
    monkeypatch.setattr(limits, "get_many_ids_max", 2)
    answer = await client.post("/api/state/entities/get", json={"ids": ["a", "b", "c"]})
    assert answer.status_code == 400
    assert "3 ids" in answer.json()["error"]


async def test_deleting_one_is_answered_with_the_event_also_when_it_is_absent(client, house):
    for entity_id in ("home/hall", "n/never"):
        answer = await client.delete(f"/api/state/entities/{entity_id}?wait=applied")
        assert answer.status_code == 200
        assert answer.json()["entity_id"] == entity_id
        assert answer.json()["eventId"]
        assert (await client.get(f"/api/state/entities/{entity_id}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ({"namespace": "home"}, ["lonely", "wide/1", "wide/2"]),
        ({"prefix": "home/h"}, ["home/attic/lamp", "lonely", "wide/1", "wide/2"]),
        ({"entity_ids": ["lonely", "wide/1", "lonely"]}, ["home/attic/lamp", "home/hall", "wide/2"]),
        ({"namespace": "wide"}, ["home/attic/lamp", "home/hall", "lonely"]),
    ],
    ids=["namespace", "prefix", "ids", "spread"],
)
async def test_many_are_deleted_by_what_they_share(client, house, body, left):
    answer = await client.post("/api/state/entities/delete?wait=applied", json=body)
    assert answer.json() == {"deleted": 5 - len(left), "failed": 0, "errors": []}
    assert [entity["id"] for entity in (await client.get("/api/state/entities")).json()] == left


async def test_a_delete_by_prefix_sees_what_was_acknowledged_before_it(client, standing):
    for number in range(5):
        await client.post("/api/events", json=event(f"n/{number}", {"v": 1}))
    answer = await client.post("/api/state/entities/delete", json={"prefix": "n/"})
    assert answer.json()["deleted"] == 5


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"namespace": "a", "prefix": "b"},
        {"prefix": ""},
        {"namespace": 5},
        {"entity_ids": "n/e"},
        {"entity_ids": [""]},
    ],
)
async def test_a_delete_that_does_not_say_what_is_refused(client, body):
    assert (await client.post("/api/state/entities/delete", json=body)).status_code == 400


async def test_no_ids_are_no_deletions(client):
    answer = await client.post("/api/state/entities/delete", json={"entity_ids": []})
    assert answer.json() == {"deleted": 0, "failed": 0, "errors": []}


async def test_too_many_matches_are_refused_with_their_number(client, house, monkeypatch):
    monkeypatch.setattr(limits, "delete_matches_max", 1)
    answer = await client.post("/api/state/entities/delete", json={"namespace": "home"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("2 ")
    assert (await client.get("/api/state/entities/home/hall")).status_code == 200


async def test_what_is_the_servers_own_is_not_deleted(client):
    for body in (
        {"namespace": "flux-core"},
        {"prefix": "flux-core"},
        {"entity_ids": ["flux-core/directory"]},
    ):
        assert (await client.post("/api/state/entities/delete", json=body)).status_code == 403
    assert (await client.delete("/api/state/entities/flux-core/directory")).status_code == 403
