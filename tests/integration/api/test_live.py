"""`GET /api/ws`: every change once, in order per entity, to exactly those who watch it."""

from __future__ import annotations

import re

import pytest

from tests.integration.api.support import about, event

pytestmark = pytest.mark.real
BURST = 5_000


def test_an_update_has_exactly_this_shape(namespace, publish, watch):
    watcher = watch(f"{namespace}/e")
    entity = publish(f"{namespace}/e", {"a": {"b": [1, None]}}).json()["entity"]
    assert watcher.next() == {
        "type": "state_update",
        "entity_id": f"{namespace}/e",
        "property": "a",
        "value": {"b": [1, None]},
        "timestamp": entity["lastUpdated"],
    }


def test_a_deletion_has_exactly_this_shape(api, namespace, publish, watch):
    publish(f"{namespace}/e", {"a": 1})
    watcher = watch(f"{namespace}/e")
    api.delete(f"/api/state/entities/{namespace}/e")
    message = watcher.next()
    assert set(message) == {"type", "entity_id", "timestamp"}
    assert (message["type"], message["entity_id"]) == ("entity_deleted", f"{namespace}/e")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00", message["timestamp"])


def test_each_named_property_is_told_in_order_equal_values_included(namespace, publish, watch):
    publish(f"{namespace}/e", {"z": 1, "a": 1, "untouched": 1})
    watcher = watch(f"{namespace}/e")
    publish(f"{namespace}/e", {"z": 1, "a": 2, "new": None})
    messages = [watcher.next() for _ in range(3)]
    assert about(messages) == [
        (f"{namespace}/e", "z", 1),
        (f"{namespace}/e", "a", 2),
        (f"{namespace}/e", "new", None),
    ]
    assert len({m["timestamp"] for m in messages}) == 1


@pytest.mark.parametrize(
    "value",
    [2**64 - 1, -(2**63), 1e308, 0.1, True, None, "", "\u0000", "🙂", [], {}, {"a": [{"b": 1}]}],
    ids=ascii,
)
def test_a_value_is_told_as_it_was_published(namespace, publish, watch, value):
    watcher = watch(f"{namespace}/e")
    publish(f"{namespace}/e", {"v": value})
    assert watcher.next()["value"] == value


def test_a_socket_that_never_subscribed_gets_everything(api, namespace, publish, watch):
    watcher = watch()
    publish(f"{namespace}/a", {"n": 1})
    publish(f"{namespace}x/b", {"n": 2})
    publish(f"lone{namespace}", {"n": 3})
    api.delete(f"/api/state/entities/{namespace}/a")
    told = set()
    expected = {
        (f"{namespace}/a", "n", 1),
        (f"{namespace}x/b", "n", 2),
        (f"lone{namespace}", "n", 3),
        (f"{namespace}/a", "deleted", True),
    }
    while not expected <= told:
        told |= {entry for entry in about([watcher.next()]) if isinstance(entry[2], int)}


def test_malformed_messages_and_unsubscribing_do_not_end_getting_everything(namespace, publish, watch):
    watcher = watch()
    watcher.unsubscribe("*", f"{namespace}/e")
    watcher.send(type="subscribe")
    watcher.until(lambda message: message["type"] == "error")
    publish(f"{namespace}/e", {"n": 1})
    assert about(watcher.until_entity(f"{namespace}/e", of=namespace)) == [(f"{namespace}/e", "n", 1)]


def test_a_star_gets_everything(namespace, publish, watch):
    watcher = watch("*")
    publish(f"{namespace}/a", {"n": 1})
    publish(f"{namespace}/end", {"n": 2})
    assert about(watcher.until_entity(f"{namespace}/end", of=namespace)) == [
        (f"{namespace}/a", "n", 1),
        (f"{namespace}/end", "n", 2),
    ]


def test_an_id_gets_that_entity_alone(namespace, publish, watch):
    watcher = watch(f"{namespace}/e")
    for name in ("e/1", "ee", "E", "f", "e"):
        publish(f"{namespace}/{name}", {"name": name})
    assert about([watcher.next()]) == [(f"{namespace}/e", "name", "e")]


def test_a_namespace_pattern_gets_that_namespace_alone(namespace, publish, watch):
    watcher = watch(f"{namespace}/*")
    for entity_id in (f"{namespace}x/a", namespace, f"{namespace}/a", f"x/{namespace}/a", f"{namespace}/b/c"):
        publish(entity_id, {"n": 1})
    assert [watcher.next()["entity_id"] for _ in range(2)] == [f"{namespace}/a", f"{namespace}/b/c"]
    assert watcher.settle() == []


def test_several_subscriptions_add_up_and_each_event_is_sent_once(namespace, publish, watch):
    watcher = watch(f"{namespace}/*", f"{namespace}/a", f"{namespace}/a", f"{namespace}x/b")
    publish(f"{namespace}/a", {"n": 1})
    publish(f"{namespace}/end", {"n": 2})
    assert about([watcher.next(), watcher.next()]) == [
        (f"{namespace}/a", "n", 1),
        (f"{namespace}/end", "n", 2),
    ]
    publish(f"{namespace}x/b", {"n": 3})
    assert about([watcher.next()]) == [(f"{namespace}x/b", "n", 3)]


@pytest.mark.parametrize("pattern", ["{}/e", "{}/*", "*"])
def test_deletions_follow_the_subscriptions(api, namespace, publish, watch, pattern):
    publish(f"{namespace}/e", {"a": 1})
    publish(f"{namespace}x/other", {"a": 1})
    watcher = watch(pattern.format(namespace))
    api.delete(f"/api/state/entities/{namespace}x/other?wait=applied")
    api.delete(f"/api/state/entities/{namespace}/e?wait=applied")
    messages = watcher.until(lambda message: message.get("entity_id") == f"{namespace}/e")
    others = [m for m in messages[:-1] if m["entity_id"].startswith(namespace)]
    assert about(messages[-1:]) == [(f"{namespace}/e", "deleted", True)]
    assert len(others) == (1 if pattern == "*" else 0)


def test_a_deletion_of_many_tells_each_one(api, namespace, watch):
    names = [f"{namespace}/{n:03}" for n in range(100)]
    api.post("/api/events/batch?wait=applied", json=[event(name, {"a": 1}) for name in names])
    watcher = watch(f"{namespace}/*")
    api.post("/api/state/entities/delete", json={"namespace": namespace})
    assert sorted(about([watcher.next() for _ in names])) == [(name, "deleted", True) for name in names]


def test_deleting_what_is_not_there_tells_nobody(api, namespace, publish, watch):
    watcher = watch(f"{namespace}/*")
    api.delete(f"/api/state/entities/{namespace}/nobody?wait=applied")
    publish(f"{namespace}/end", {"n": 1})
    assert watcher.next()["entity_id"] == f"{namespace}/end"


@pytest.mark.parametrize("rest", [{}, {"properties": {}}, {"properties": None}], ids=str)
def test_an_event_that_changes_nothing_tells_nobody(api, namespace, publish, watch, rest):
    watcher = watch(f"{namespace}/*")
    payload = {"entity_id": f"{namespace}/e"} | rest
    api.post("/api/events?wait=applied", json={"stream": "a", "source": "s", "payload": payload})
    publish(f"{namespace}/end", {"n": 1})
    assert watcher.next()["entity_id"] == f"{namespace}/end"


def test_a_duplicate_event_is_told_once(namespace, publish, watch):
    watcher = watch(f"{namespace}/*")
    for n in range(3):
        publish(f"{namespace}/e", {"n": n}, eventId="once")
    publish(f"{namespace}/end", {"n": "end"})
    assert about([watcher.next(), watcher.next()]) == [
        (f"{namespace}/e", "n", 0),
        (f"{namespace}/end", "n", "end"),
    ]


def test_an_id_that_was_unsubscribed_is_told_no_more_and_the_others_go_on(namespace, publish, watch):
    watcher = watch(f"{namespace}/a", f"{namespace}/b", f"{namespace}/c")
    watcher.unsubscribe(f"{namespace}/a", f"{namespace}/c")
    for name in "acb":
        publish(f"{namespace}/{name}", {"n": 1})
    assert watcher.next()["entity_id"] == f"{namespace}/b"


@pytest.mark.parametrize("pattern", ["*", "{}/*", "{}/e"])
def test_a_socket_that_unsubscribed_its_last_id_gets_nothing_but_metrics(namespace, publish, watch, pattern):
    watcher, witness = watch(pattern.format(namespace)), watch(f"{namespace}/*")
    watcher.unsubscribe(pattern.format(namespace))
    publish(f"{namespace}/e", {"n": 1})
    assert witness.next()["entity_id"] == f"{namespace}/e"
    assert watcher.settle() == []
    watcher.subscribe(f"{namespace}/end")
    publish(f"{namespace}/end", {"n": 1})
    assert watcher.next()["entity_id"] == f"{namespace}/end"
    assert "timestamp" in watcher.next_metrics()


def test_unsubscribing_one_pattern_leaves_what_another_covers(namespace, publish, watch):
    watcher = watch(f"{namespace}/*", f"{namespace}/e")
    watcher.unsubscribe(f"{namespace}/e")
    publish(f"{namespace}/e", {"n": 1})
    assert watcher.next()["entity_id"] == f"{namespace}/e"


def test_unsubscribing_what_was_never_subscribed_changes_nothing(namespace, publish, watch):
    watcher = watch(f"{namespace}/e")
    watcher.unsubscribe(f"{namespace}/x", "*", "none/*")
    publish(f"{namespace}/e", {"n": 1})
    assert watcher.next()["entity_id"] == f"{namespace}/e"


def test_subscribing_again_after_unsubscribing_works(namespace, publish, watch):
    watcher = watch(f"{namespace}/e")
    watcher.unsubscribe(f"{namespace}/e")
    watcher.subscribe(f"{namespace}/e")
    publish(f"{namespace}/e", {"n": 1})
    assert watcher.next()["value"] == 1


@pytest.mark.parametrize("name", ["a b", "ü/日本", '"', "a//b", "..", "%2F", "*x", "**", "a/*b"], ids=ascii)
def test_any_id_can_be_watched(namespace, publish, watch, name):
    watcher = watch(f"{namespace}/{name}")
    publish(f"{namespace}/elsewhere", {"n": 1})
    publish(f"{namespace}/{name}", {"n": 1})
    assert watcher.next()["entity_id"] == f"{namespace}/{name}"
