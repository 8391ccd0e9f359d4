"""The socket of `GET /api/ws`: nonsense, bursts, crowds, metrics and handshakes."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.busy import busy
from tests.integration.api.support import ANSWER_S, about, assert_error, event

pytestmark = pytest.mark.real
BURST = 5_000


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


# Counts as twenty messages, so that a slow client is soon beyond its pace as well.
HEAVY = json.dumps({"type": "dance", "pad": "x" * 20_000})


def test_one_that_floods_is_told_so_and_then_sent_away_alone(namespace, publish, watch):
    flood, other = watch(f"{namespace}/none"), watch(f"{namespace}/e")
    with suppress(ConnectionClosed):
        for number in range(20_000):
            flood.socket.send(HEAVY)
            if number % 50 == 0:
                time.sleep(0.001)  # so that what it is told meanwhile is read
    told = []
    with suppress(ConnectionClosed):
        while True:
            told.append(json.loads(flood.socket.recv(ANSWER_S)))
    assert flood.socket.close_code == 1008
    reasons = Counter(message["error"] for message in told if message["type"] == "error")
    assert sum(reasons.values()) > 900
    assert any("too many messages" in reason for reason in reasons)
    publish(f"{namespace}/e", {"n": 1})
    assert other.next()["value"] == 1


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
    frame = watcher.socket.recv(ANSWER_S)
    assert isinstance(frame, str)
    assert isinstance(json.loads(frame), dict)


def test_a_message_over_the_size_bound_closes_that_socket_alone(namespace, publish, watch):
    too_large, other = watch(), watch(f"{namespace}/e")
    too_large.socket.send(json.dumps({"type": "subscribe", "entity_id": "x" * 9_000_000}))
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
        with httpx.Client(base_url=flux.url, trust_env=False, timeout=30) as client:
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
    told = (watcher.next_metrics() for _ in range(5))  # the first may have been made amid the ten
    later = next(one for one in told if one["events"]["total"] >= first["events"]["total"] + 10)
    assert later["entities"]["total"] >= first["entities"]["total"] + 10
    assert later["events"]["rate_per_second"] > 0
    assert later["publishers"]["active"] >= 10


def test_metrics_come_every_two_seconds(watch, namespace):
    watcher = watch(f"{namespace}/none")
    times = [datetime.fromisoformat(watcher.next_metrics()["timestamp"]) for _ in range(2)]
    assert 1.5 < (times[1] - times[0]).total_seconds() < 2 + busy()


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
        assert json.loads(socket.recv(ANSWER_S))["type"] in {
            "state_update",
            "entity_deleted",
            "metrics_update",
        }


def test_a_socket_through_the_second_entrance_is_the_same(flux, namespace, publish):
    with connect(f"ws://127.0.0.1:{flux.serve_port}/api/ws", proxy=None) as socket:
        socket.send(json.dumps({"type": "subscribe", "entity_id": f"{namespace}/e"}))
        socket.send("malformed")
        types = set()
        while "error" not in types:
            types.add(json.loads(socket.recv(ANSWER_S))["type"])
        publish(f"{namespace}/e", {"n": 1})
        message = json.loads(socket.recv(ANSWER_S))
        while message["type"] == "metrics_update":
            message = json.loads(socket.recv(ANSWER_S))
        assert (message["type"], message["entity_id"], message["value"]) == (
            "state_update",
            f"{namespace}/e",
            1,
        )
