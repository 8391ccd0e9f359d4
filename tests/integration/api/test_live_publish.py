"""Publishing and reading over the socket: pipelined, acknowledged when durable, refused one by one."""

from __future__ import annotations

import json

import pytest
from websockets.sync.client import connect

from tests.integration.api.support import Watcher, event

pytestmark = pytest.mark.real
MANY = 5_000


def answers(watcher, count):
    """Return the next `count` messages by their ids."""
    found = [watcher.next() for _ in range(count)]
    return {answer["id"]: answer for answer in found}


@pytest.fixture(params=["door", "proxy"])
def watcher(flux, namespace, request):
    """A socket that watches next to nothing, at the Flux port and through Serve's own proxy."""
    url = flux.ws_url if request.param == "door" else f"ws://127.0.0.1:{flux.serve_port}/api/ws"
    with connect(url, max_size=None, max_queue=None, proxy=None) as socket:
        watcher = Watcher(socket)
        watcher.subscribe(f"{namespace}/nothing")
        yield watcher


def test_an_ack_has_the_id_the_event_id_and_the_position(api, namespace, watcher):
    watcher.send(type="publish", id="mine", **event(f"{namespace}/e", {"n": 1}, eventId="e1"))
    ack = watcher.next()
    assert ack == {"type": "ack", "id": "mine", "eventId": "e1", "position": ack["position"]}
    answer = api.get(f"/api/state/entities/{namespace}/e", headers={"Flux-Position": ack["position"]})
    assert (answer.json()["properties"], answer.headers["etag"]) == ({"n": 1}, f'"{ack["position"]}"')


def test_many_at_once_are_each_answered_and_all_of_them_are_in_the_state(api, flux, namespace, watch):
    watcher = watch(f"{namespace}/nothing")
    bad = set(range(0, MANY, 500))
    for number in range(MANY):
        properties = [] if number in bad else {"n": number, f"k{number}": 1}
        body = event(f"{namespace}/{number % 10}", properties)
        watcher.socket.send(json.dumps({"type": "publish", "id": number} | body))
    found = answers(watcher, MANY)
    assert set(found) == set(range(MANY))
    assert {number for number, answer in found.items() if answer["type"] == "error"} == bad
    acks = [found[number] for number in range(MANY) if number not in bad]
    assert len({ack["eventId"] for ack in acks}) == len({ack["position"] for ack in acks}) == len(acks)
    listed = api.get(
        "/api/state/entities",
        params={"namespace": namespace},
        headers={"Flux-Position": "~".join({ack["position"] for ack in acks[-10:]})},
    ).json()
    kept = {name for entity in listed for name in entity["properties"]} - {"n"}
    assert kept == {f"k{number}" for number in range(MANY) if number not in bad}
    assert {entity["properties"]["n"] for entity in listed} == set(range(MANY - 10, MANY))


def test_what_one_socket_publishes_lands_in_its_order(api, namespace, watch, watcher):
    witness = watch(f"{namespace}/e")
    for number in range(300):
        watcher.send(type="publish", id=number, **event(f"{namespace}/e", {"n": number}))
    assert [witness.next()["value"] for _ in range(300)] == list(range(300))
    assert set(answers(watcher, 300)) == set(range(300))


def test_the_same_event_id_again_is_acknowledged_and_changes_nothing(api, namespace, watcher):
    for number in range(3):
        watcher.send(type="publish", id=number, **event(f"{namespace}/e", {"n": number}, eventId="once"))
        assert watcher.next()["eventId"] == "once"
    watcher.send(type="publish", id="end", **event(f"{namespace}/end", {"n": 1}))
    headers = {"Flux-Position": watcher.next()["position"]}
    entity = api.get(f"/api/state/entities/{namespace}/e", headers=headers).raise_for_status().json()
    assert entity["properties"] == {"n": 0}


def test_an_event_of_the_largest_size_fits_and_a_larger_one_is_refused(namespace, watcher):
    body = event(f"{namespace}/e", {"v": ""})
    room = (1 << 20) - len(json.dumps(body))
    watcher.send(type="publish", id="fits", **event(f"{namespace}/e", {"v": "x" * room}))
    assert watcher.next()["type"] == "ack"
    watcher.send(type="publish", id="large", **event(f"{namespace}/e", {"v": "x" * (room + 2_000)}))
    answer = watcher.next()
    assert (answer["type"], answer["id"]) == ("error", "large")
    assert "at most 1048576 bytes" in answer["error"]


def test_get_answers_what_http_answers(api, namespace, publish, watcher):
    publish(f"{namespace}/e", {"n": [1, None]})
    for number, name in enumerate(("e", "none", "e")):
        watcher.send(type="get", id=number, entity_id=f"{namespace}/{name}")
    found = answers(watcher, 3)
    entity = api.get(f"/api/state/entities/{namespace}/e").json()
    assert [found[number]["entity"] for number in range(3)] == [entity, None, entity]
