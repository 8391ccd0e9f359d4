"""`GET /api/ws`: every change once, in order per entity, to exactly those who watch it."""

from __future__ import annotations

import json
import re
import threading
from datetime import datetime

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
BURST = 5_000


def about(messages):
    """Return what was told of which entity: a property's name and value, or its deletion."""
    return [
        (m["entity_id"], m["property"], m["value"])
        if m["type"] == "state_update"
        else (m["entity_id"], "deleted", True)
        for m in messages
    ]


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


@pytest.mark.parametrize(
    "message",
    [
        *(
            "",
            " ",
            "x",
            "{",
            "[]",
            "null",
            "1",
            '"subscribe"',
            "{}",
            '{"type":null}',
            '{"type":1}',
            '{"type":"x"}',
        ),
        *(
            '{"type":"subscribe"}',
            '{"type":"subscribe","entity_id":null}',
            '{"type":"subscribe","entity_id":1}',
        ),
        *(
            '{"type":"subscribe","entity_id":""}',
            '{"type":"subscribe","entity_id":["a"]}',
            '{"type":"unsubscribe"}',
        ),
        *(
            '{"type":"unsubscribe","entity_id":{}}',
            '{"type":"Subscribe","entity_id":"a"}',
            '{"type":["subscribe"]}',
        ),
        *(
            '{"type":"subscribe","entity_id":"\\ud800"}',
            "[" * 1000,
            '{"a":' * 1000,
            "NaN",
            b"\xff",
            b"\x00",
            b"",
        ),
    ],
    ids=lambda message: ascii(message[:44]),
)
def test_a_malformed_message_gets_an_error_and_the_socket_stays_open(namespace, publish, watch, message):
    watcher = watch(f"{namespace}/e")
    watcher.socket.send(message)
    answer = watcher.next()
    assert set(answer) == {"type", "error"}
    assert answer["type"] == "error"
    assert len(answer["error"]) > 8
    publish(f"{namespace}/e", {"n": 1})
    assert watcher.next()["value"] == 1


def test_a_message_in_a_binary_frame_is_understood(namespace, publish, watch):
    watcher = watch()
    watcher.socket.send(json.dumps({"type": "subscribe", "entity_id": f"{namespace}/e"}).encode())
    watcher.settle()
    publish(f"{namespace}/other", {"n": 1})
    publish(f"{namespace}/e", {"n": 1})
    assert watcher.next()["entity_id"] == f"{namespace}/e"


def test_a_message_in_fragments_is_understood(namespace, publish, watch):
    watcher = watch()
    text = json.dumps({"type": "subscribe", "entity_id": f"{namespace}/e"})
    watcher.socket.send(iter(text))
    watcher.settle()
    publish(f"{namespace}/e", {"n": 1})
    assert watcher.next()["entity_id"] == f"{namespace}/e"


def test_every_answer_is_a_text_frame_of_one_object(namespace, publish, watch):
    watcher = watch(f"{namespace}/e")
    publish(f"{namespace}/e", {"n": 1})
    frame = watcher.socket.recv(5)
    assert isinstance(frame, str)
    assert isinstance(json.loads(frame), dict)


def test_a_message_over_the_size_bound_closes_that_socket_alone(namespace, publish, watch):
    too_large, other = watch(), watch(f"{namespace}/e")
    too_large.socket.send(json.dumps({"type": "subscribe", "entity_id": "x" * 2_000_000}))
    assert too_large.close_code() == 1009
    publish(f"{namespace}/e", {"n": 1})
    assert other.next()["value"] == 1


def test_a_burst_is_told_without_a_gap_to_all_who_watch(api, namespace, watch):
    everything, by_namespace, by_id = watch(), watch(f"{namespace}/*"), watch(f"{namespace}/3")
    events = [event(f"{namespace}/{n % 10}", {"n": n}) for n in range(BURST)]
    for begin in range(0, BURST, 1000):
        assert api.post("/api/events/batch", json=events[begin : begin + 1000]).json()["failed"] == 0
    expected = [(f"{namespace}/{n % 10}", "n", n) for n in range(BURST)]
    for watcher in (everything, by_namespace):
        told = []
        while len(told) < BURST:
            told += [entry for entry in about([watcher.next()]) if entry[0].startswith(f"{namespace}/")]
        assert told == expected
    assert about([by_id.next() for _ in range(BURST // 10)]) == expected[3::10]


def test_publishers_at_once_are_told_in_the_order_of_the_log(api, namespace, watch, flux):
    watcher = watch(f"{namespace}/e")

    def write(writer):
        with httpx.Client(base_url=flux.url, trust_env=False) as client:
            for n in range(50):
                client.post(
                    "/api/events", json=event(f"{namespace}/e", {"n": [writer, n]})
                ).raise_for_status()

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    told = [watcher.next()["value"] for _ in range(200)]
    for writer in writers:
        writer.join()
    newest_first = api.get("/api/events", params={"entity": f"{namespace}/e", "limit": 500}).json()
    assert told == [logged["payload"]["properties"]["n"] for logged in reversed(newest_first)]
    for writer in range(4):
        assert [n for who, n in told if who == writer] == list(range(50))


def test_timestamps_of_an_entity_never_run_backwards(api, namespace, watch):
    watcher = watch(f"{namespace}/e")
    for n in range(20):
        api.post("/api/events", json=event(f"{namespace}/e", {"n": n}, timestamp=1_000_000 - n))
    times = [watcher.next()["timestamp"] for _ in range(20)]
    assert times == sorted(times)


def test_fifty_sockets_are_each_told(namespace, publish, watch):
    watchers = [watch(f"{namespace}/e") for _ in range(50)]
    publish(f"{namespace}/e", {"n": 1})
    assert [watcher.next()["value"] for watcher in watchers] == [1] * 50


def test_a_thousand_subscriptions_on_one_socket(api, namespace, watch):
    names = [f"{namespace}/{n}" for n in range(0, 2000, 2)]
    watcher = watch(*names)
    api.post("/api/events/batch", json=[event(f"{namespace}/{n}", {"n": n}) for n in range(2000)])
    assert [watcher.next()["entity_id"] for _ in names] == names


def test_metrics_have_exactly_this_shape_and_count(namespace, publish, watch, eventually):
    watcher = watch(f"{namespace}/none")
    first = watcher.next_metrics()
    assert set(first) == {"type", "timestamp", "entities", "events", "websocket", "publishers"}
    assert set(first["entities"]) == {"total"}
    assert set(first["events"]) == {"total", "rate_per_second"}
    assert set(first["websocket"]) == {"connections"}
    assert set(first["publishers"]) == {"active"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00", first["timestamp"])
    assert first["websocket"]["connections"] >= 1
    for n in range(10):
        publish(f"{namespace}/{n}", {"n": 1}, source=f"{namespace}-{n}")
    later = watcher.next_metrics()
    assert later["events"]["total"] >= first["events"]["total"] + 10
    assert later["entities"]["total"] >= first["entities"]["total"] + 10
    assert later["events"]["rate_per_second"] > 0
    assert later["publishers"]["active"] >= 10


def test_metrics_come_every_two_seconds(watch, namespace):
    watcher = watch(f"{namespace}/none")
    times = [datetime.fromisoformat(watcher.next_metrics()["timestamp"]) for _ in range(2)]
    assert 1.5 < (times[1] - times[0]).total_seconds() < 3


def test_compression_is_declined(flux):
    with connect(flux.ws_url, compression="deflate", proxy=None) as socket:
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


@pytest.mark.parametrize("path", ["/api/ws/", "/api/websocket", "/", "/api/events", "/api/state/entities/a"])
def test_a_socket_at_another_path_is_refused_in_the_shape_of_errors(flux, path):
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"{flux.ws_url.removesuffix('/api/ws')}{path}", proxy=None),
    ):
        pass
    response = refused.value.response
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert set(json.loads(response.body)) == {"error"}


def test_a_plain_get_is_told_to_open_a_socket(api):
    assert "WebSocket" in assert_error(api.get("/api/ws"), 426)


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://anywhere.example", "null"])
def test_a_page_of_any_origin_may_open_a_socket(flux, namespace, publish, origin):
    with connect(flux.ws_url, origin=origin, proxy=None) as socket:
        publish(f"{namespace}/e", {"n": 1})
        assert json.loads(socket.recv(5))["type"] in {"state_update", "metrics_update"}


def test_a_socket_through_the_second_entrance_is_the_same(flux, namespace, publish):
    with connect(f"ws://127.0.0.1:{flux.serve_port}/api/ws", proxy=None) as socket:
        socket.send(json.dumps({"type": "subscribe", "entity_id": f"{namespace}/e"}))
        socket.send("malformed")
        types = set()
        while "error" not in types:
            types.add(json.loads(socket.recv(5))["type"])
        publish(f"{namespace}/e", {"n": 1})
        message = json.loads(socket.recv(5))
        while message["type"] == "metrics_update":
            message = json.loads(socket.recv(5))
        assert (message["type"], message["entity_id"], message["value"]) == (
            "state_update",
            f"{namespace}/e",
            1,
        )
