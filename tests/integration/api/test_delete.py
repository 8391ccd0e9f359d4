"""`DELETE /api/state/entities/{id}` and the delete of many."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
ENTITIES = "/api/state/entities"
DELETE = f"{ENTITIES}/delete"


@pytest.fixture
def world(api, namespace):
    """Ten entities of a namespace and one in its neighbour."""
    names = [f"{namespace}/{kind}/{n}" for kind in "ab" for n in range(5)]
    answer = api.post(
        "/api/events/batch", json=[event(name, {"a": 1}) for name in [*names, f"{namespace}x/e"]]
    )
    assert answer.json()["failed"] == 0
    return names


@pytest.fixture
def left(api, namespace):
    """Return the ids that are left of both namespaces."""
    return lambda: [e["id"] for e in api.get(ENTITIES, params={"prefix": namespace}).json()]


def test_a_deletion_is_answered_with_exactly_the_id_and_its_event(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    answer = api.delete(f"{ENTITIES}/{namespace}/e")
    assert answer.status_code == 200
    assert list(answer.json()) == ["entity_id", "eventId"]
    assert answer.json()["entity_id"] == f"{namespace}/e"
    assert uuid.UUID(answer.json()["eventId"]).version == 7
    assert answer.headers["Flux-Position"]
    assert_error(api.get(f"{ENTITIES}/{namespace}/e"), 404)


def test_an_absent_entity_is_deleted_with_200_as_well(api, namespace):
    for _ in range(2):
        answer = api.delete(f"{ENTITIES}/{namespace}/nobody")
        assert answer.status_code == 200
        assert set(answer.json()) == {"entity_id", "eventId"}


def test_a_deletion_that_waits_is_visible_when_it_is_answered(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    answer = api.delete(f"{ENTITIES}/{namespace}/e?wait=applied")
    assert answer.json()["entity_id"] == f"{namespace}/e"
    assert_error(api.get(f"{ENTITIES}/{namespace}/e"), 404)


def test_the_tombstone_is_in_the_history_under_the_id_that_was_answered(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    deleted = api.delete(f"{ENTITIES}/{namespace}/e").json()
    newest = api.get("/api/events", params={"entity": f"{namespace}/e"}).json()[0]
    assert newest["eventId"] == deleted["eventId"]
    assert newest["payload"]["properties"] == {"__deleted__": True}


@pytest.mark.parametrize("name", ["flux-core/directory", "flux-core", "flux-corex/y", "flux-core%2Fx"])
def test_the_servers_own_entities_cannot_be_deleted(api, name):
    assert "flux-core" in assert_error(api.delete(f"{ENTITIES}/{name}"), 403)


@pytest.mark.parametrize(
    "body",
    [
        *({"namespace": "flux-core"}, {"prefix": "flux-core"}, {"prefix": "flux-core/d"}),
        *({"entity_ids": ["flux-core/directory"]}, {"namespace": "flux-core-x"}),
    ],
    ids=str,
)
def test_the_servers_own_entities_cannot_be_deleted_together_either(api, body):
    assert "flux-core" in assert_error(api.post(DELETE, json=body), 403)
    assert api.get(f"{ENTITIES}/flux-core/directory").status_code == 200


def test_a_wrong_wait_deletes_nothing(api, namespace, publish, read):
    publish(f"{namespace}/e", {"a": 1})
    assert_error(api.delete(f"{ENTITIES}/{namespace}/e?wait=no"), 400)
    assert_error(api.post(f"{DELETE}?wait=no", json={"namespace": namespace}), 400)
    assert read(f"{namespace}/e") == {"a": 1}


def test_a_namespace_is_deleted_whole_and_its_neighbour_stays(api, namespace, world, left):
    answer = api.post(DELETE, json={"namespace": namespace})
    assert answer.status_code == 200
    assert answer.content == b'{"deleted":10,"failed":0,"errors":[]}'
    assert left() == [f"{namespace}x/e"]


def test_a_prefix_is_deleted(api, namespace, world, left):
    answer = api.post(DELETE, json={"prefix": f"{namespace}/a"})
    assert answer.json() == {"deleted": 5, "failed": 0, "errors": []}
    assert left() == [*world[5:], f"{namespace}x/e"]


def test_ids_are_deleted_and_absent_ones_count(api, namespace, world, left):
    body = {"entity_ids": [world[0], f"{namespace}/absent", world[9]]}
    assert api.post(DELETE, json=body).json() == {"deleted": 3, "failed": 0, "errors": []}
    assert left() == [*world[1:9], f"{namespace}x/e"]


def test_no_ids_delete_nothing(api):
    assert api.post(DELETE, json={"entity_ids": []}).content == b'{"deleted":0,"failed":0,"errors":[]}'


@pytest.mark.parametrize(
    "body", [{"namespace": "{}none"}, {"prefix": "{}/none"}, {"namespace": "{}/a"}], ids=str
)
def test_what_matches_nothing_deletes_nothing(api, namespace, world, left, body):
    body = {name: text.format(namespace) for name, text in body.items()}
    assert api.post(DELETE, json=body).json() == {"deleted": 0, "failed": 0, "errors": []}
    assert len(left()) == 11


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"namespace": "NS", "prefix": "NS/"}, {"namespace": "NS", "entity_ids": ["NS/a/0"]}),
        *(
            {"prefix": "NS/", "entity_ids": ["NS/a/0"]},
            {"namespace": "NS", "prefix": "NS/", "entity_ids": []},
        ),
        *({"prefix": ""}, {"namespace": ""}, {"namespace": 1}, {"prefix": ["NS"]}, {"entity_ids": "NS/a/0"}),
        *(
            {"entity_ids": {}},
            {"entity_ids": [1]},
            {"entity_ids": [None]},
            {"entity_ids": [""]},
            {"id": "NS"},
        ),
        *({"namespace": None}, {"entity_ids": ["NS/a/0", "x\n"]}, [], None, "x", 1, ["NS/a/0"]),
    ],
    ids=str,
)
def test_anything_but_exactly_one_of_the_three_is_refused_and_deletes_nothing(
    api, namespace, world, left, body
):
    assert_error(api.post(DELETE, content=json.dumps(body).replace("NS", namespace)), 400)
    assert len(left()) == 11


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 1000, b'{"prefix":"\\ud800"}'], ids=lambda b: repr(b[:9])
)
def test_a_body_that_is_no_json_is_refused(api, body):
    assert_error(api.post(DELETE, content=body), 400)


def test_a_delete_of_many_answers_with_a_position_that_reads_may_ask_for(api, namespace, world):
    answer = api.post(DELETE, json={"namespace": namespace})
    position = {"Flux-Position": answer.headers["Flux-Position"]}
    assert api.get(ENTITIES, params={"namespace": namespace}, headers=position).content == b"[]"


def test_a_delete_of_many_that_waits_is_visible_when_it_is_answered(api, namespace, world):
    answer = api.post(f"{DELETE}?wait=applied", json={"namespace": namespace})
    assert answer.json()["deleted"] == 10
    assert api.post(f"{ENTITIES}/get", json={"ids": world}).json()["entities"] == []


def test_a_deletion_includes_what_was_published_just_before(api, namespace, left):
    for n in range(20):
        api.post("/api/events/batch", json=[event(f"{namespace}/{n}-{m}", {"a": 1}) for m in range(10)])
        assert api.post(DELETE, json={"namespace": namespace}).json()["deleted"] == 10
    assert left() == []


def test_a_repeated_id_is_deleted_once_and_leaves_no_error(api, namespace, world, left):
    answer = api.post(DELETE, json={"entity_ids": [world[0], world[0]]}).json()
    assert (answer["failed"], answer["errors"]) == (0, [])
    assert world[0] not in left()


def test_more_than_ten_thousand_matches_are_refused_with_their_number(api, namespace):
    names = [f"{namespace}/{n}" for n in range(10_001)]
    assert api.post("/api/events/batch", json=[event(name, {"a": 1}) for name in names]).json()["failed"] == 0
    for body in ({"namespace": namespace}, {"prefix": f"{namespace}/"}, {"entity_ids": names}):
        sentence = assert_error(api.post(DELETE, json=body), 400)
        assert "10001" in sentence.replace(",", "")
    count = api.get(ENTITIES, params={"namespace": namespace, "count": "true"})
    assert count.json() == {"count": 10_001}
    assert api.delete(f"{ENTITIES}/{names[0]}").status_code == 200
    assert api.post(DELETE, json={"namespace": namespace}).json()["deleted"] == 10_000


def test_deleting_through_the_second_entrance_is_the_same(proxy, api, namespace, world):
    position = api.headers["Flux-Position"]
    assert proxy.delete(f"{ENTITIES}/{world[0]}?wait=applied").json()["entity_id"] == world[0]
    body = {"namespace": namespace}
    answer = proxy.post(f"{DELETE}?wait=applied", json=body, headers={"Flux-Position": position})
    assert answer.json() == {"deleted": 9, "failed": 0, "errors": []}
    assert_error(proxy.post(DELETE, json={}), 400)
