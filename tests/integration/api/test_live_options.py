"""Options of a subscription on the real engine, one by one and together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.api.support import Watcher, event

pytestmark = pytest.mark.real


def subscribe(watcher: Watcher, pattern: str, **options: Any) -> Any:
    """Subscribe and return the answer."""
    watcher.send(type="subscribe", entity_id=pattern, id="s", **options)
    return watcher.until(lambda message: message["type"] in {"subscribed", "error"})[-1]


def test_subscribed_echoes_the_id_and_says_from_where_to_resume(namespace, publish, watch):
    answer = publish(f"{namespace}/e", {"v": 1})
    told = subscribe(watch("nothing/at-all"), f"{namespace}/*")
    assert set(told) == {"type", "id", "entity_id", "position"}
    assert (told["type"], told["id"], told["entity_id"]) == ("subscribed", "s", f"{namespace}/*")
    partition, sequence, _ = answer.headers["Flux-Position"].split(".")
    assert told["position"].split(".")[0] == partition
    assert int(told["position"].split(".")[1]) >= int(sequence)


def test_everything_is_watched_from_a_place_in_every_partition(watch):
    told = subscribe(watch("nothing/at-all"), "*")
    assert len(told["position"].split("~")) == 4


def test_initial_tells_the_state_first_then_each_update(namespace, api, publish, watch):
    entities = [publish(f"{namespace}/e{n}", {"n": n}).json()["entity"] for n in range(30)]
    publish(f"{namespace}/gone", {"n": 0})
    api.delete(f"/api/state/entities/{namespace}/gone?wait=applied")
    watcher = watch("nothing/at-all")
    subscribe(watcher, f"{namespace}/*", initial=True)
    states = [watcher.next() for _ in range(30)]
    assert {message["type"] for message in states} == {"state"}
    assert sorted((s["entity"] for s in states), key=lambda e: e["id"]) == sorted(
        entities, key=lambda e: e["id"]
    )
    publish(f"{namespace}/e7", {"n": 70})
    update = watcher.next()
    assert (update["type"], update["entity_id"], update["value"]) == ("state_update", f"{namespace}/e7", 70)


def test_a_state_s_position_is_the_entity_s_etag(namespace, api, publish, watch):
    publish(f"{namespace}/e", {"v": 1})
    watcher = watch("nothing/at-all")
    subscribe(watcher, f"{namespace}/e", initial=True)
    assert watcher.next()["position"] == api.get(f"/api/state/entities/{namespace}/e").headers["etag"].strip(
        '"'
    )


def test_a_delta_has_exactly_this_shape(namespace, publish, watch):
    watcher = watch("nothing/at-all")
    subscribe(watcher, f"{namespace}/e", format="delta")
    answer = publish(f"{namespace}/e", {"a": 1, "b": {"c": None}})
    assert watcher.next() == {
        "type": "delta",
        "entity_id": f"{namespace}/e",
        "properties": {"a": 1, "b": {"c": None}},
        "position": answer.headers["Flux-Position"],
        "timestamp": answer.json()["entity"]["lastUpdated"],
    }


def test_a_deletion_among_deltas_has_its_position(namespace, api, publish, watch):
    publish(f"{namespace}/e", {"a": 1})
    watcher = watch("nothing/at-all")
    subscribe(watcher, f"{namespace}/e", format="delta")
    answer = api.delete(f"/api/state/entities/{namespace}/e")
    told = watcher.next()
    assert set(told) == {"type", "entity_id", "position", "timestamp"}
    assert (told["type"], told["position"]) == ("entity_deleted", answer.headers["Flux-Position"])


def test_fields_show_some_properties_and_hide_changes_of_others(namespace, publish, watch):
    publish(f"{namespace}/e", {"a": 1, "b": 2, "c": 3})
    watcher = watch("nothing/at-all")
    subscribe(watcher, f"{namespace}/*", fields=["a", "b"], initial=True, format="delta")
    assert watcher.next()["entity"]["properties"] == {"a": 1, "b": 2}
    publish(f"{namespace}/e", {"c": 4})
    publish(f"{namespace}/e", {"a": 5, "c": 6})
    assert watcher.next()["properties"] == {"a": 5}


def test_where_tells_what_matches_and_what_left(namespace, api, publish, watch):
    publish(f"{namespace}/low", {"battery": 0.1, "name": "low"})
    publish(f"{namespace}/high", {"battery": 0.9, "name": "high"})
    watcher = watch("nothing/at-all")
    subscribe(watcher, f"{namespace}/*", where="battery < 0.2", initial=True, format="delta")
    assert watcher.next()["entity"]["id"] == f"{namespace}/low"
    publish(f"{namespace}/high", {"battery": 0.8})
    publish(f"{namespace}/high", {"battery": 0.15})
    told = watcher.next()
    assert (told["type"], told["properties"]) == ("delta", {"battery": 0.15, "name": "high"})
    publish(f"{namespace}/low", {"battery": 1.0})
    assert watcher.next() == {"type": "left", "entity_id": f"{namespace}/low"}
    api.delete(f"/api/state/entities/{namespace}/low")
    api.delete(f"/api/state/entities/{namespace}/high")
    told = watcher.next()
    assert (told["type"], told["entity_id"]) == ("entity_deleted", f"{namespace}/high")


def test_a_batch_is_an_array_per_frame(namespace, api, watch):
    watcher = watch("nothing/at-all")
    subscribe(watcher, f"{namespace}/*", batch=True, format="delta")
    api.post("/api/events/batch", json=[event(f"{namespace}/e{n}", {"n": n}) for n in range(100)])
    told: list[Any] = []
    frames = 0
    while len(told) < 100:
        frame = json.loads(watcher.socket.recv(10))
        if isinstance(frame, list):
            told += frame
            frames += 1
    assert [delta["properties"]["n"] for delta in told] == list(range(100))
    assert frames < 50


def test_a_subscription_resumes_behind_a_position(namespace, publish, watch):
    first = publish(f"{namespace}/e", {"n": 1}).headers["Flux-Position"]
    publish(f"{namespace}/e", {"n": 2})
    publish(f"{namespace}/f", {"n": 3})
    watcher = watch("nothing/at-all")
    told = subscribe(watcher, f"{namespace}/*", **{"from": first}, format="delta")
    assert told["position"] == first
    publish(f"{namespace}/e", {"n": 4})
    assert [watcher.next()["properties"]["n"] for _ in range(3)] == [2, 3, 4]


def test_a_position_of_too_few_partitions_is_a_resync(namespace, publish, watch):
    position = publish(f"{namespace}/e", {"n": 1}).headers["Flux-Position"]
    watcher = watch("nothing/at-all")
    subscribe(watcher, "*", **{"from": position}, format="delta")
    assert watcher.next() == {"type": "resync", "entity_id": "*"}


def test_a_resync_is_followed_by_states_where_they_were_asked_for(namespace, publish, watch):
    publish(f"{namespace}/e", {"n": 1})
    place, _, _ = publish(f"{namespace}/e", {"n": 2}).headers["Flux-Position"].partition(".")
    watcher = watch("nothing/at-all")
    subscribe(watcher, f"{namespace}/*", **{"from": f"{place}.999999999.0"}, initial=True)
    assert watcher.next() == {"type": "resync", "entity_id": f"{namespace}/*"}
    told = watcher.next()
    assert (told["type"], told["entity"]["properties"]) == ("state", {"n": 2})


@pytest.mark.parametrize(
    "options",
    [
        {"initial": 1},
        {"from": "x"},
        {"from": 5},
        {"where": "v >"},
        {"where": 1},
        {"fields": []},
        {"fields": "a"},
        {"fields": [1]},
        {"format": "xml"},
        {"batch": "yes"},
    ],
    ids=str,
)
def test_a_bad_option_is_told_with_the_id_and_the_socket_goes_on(namespace, publish, watch, options):
    watcher = watch(f"{namespace}/e")
    told = subscribe(watcher, f"{namespace}/*", **options)
    assert (told["type"], told["id"]) == ("error", "s")
    assert len(told["error"]) > 8
    publish(f"{namespace}/e", {"v": 1})
    publish(f"{namespace}/f", {"v": 1})
    assert [message["entity_id"] for message in [watcher.next(), *watcher.settle()]] == [f"{namespace}/e"]


def test_the_newest_options_of_a_pattern_and_the_newest_pattern_count(namespace, publish, watch):
    watcher = watch("nothing/at-all")
    subscribe(watcher, f"{namespace}/*", format="delta")
    subscribe(watcher, f"{namespace}/e", fields=["a"])
    publish(f"{namespace}/e", {"a": 1, "b": 1})
    told = watcher.next()
    assert (told["type"], told["property"]) == ("state_update", "a")
    subscribe(watcher, f"{namespace}/*", fields=["b"])
    publish(f"{namespace}/e", {"a": 1, "b": 1})
    assert [m["property"] for m in [watcher.next(), *watcher.settle()]] == ["b"]
    watcher.unsubscribe(f"{namespace}/*")
    publish(f"{namespace}/e", {"a": 1, "b": 1})
    assert [m["property"] for m in [watcher.next(), *watcher.settle()]] == ["a"]
