"""The clients of a load, on a server that answers by script: what they send again, and what they know."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flux_cluster.chaos import counter, prober, publisher
from flux_cluster.chaos.counter import Counter
from flux_cluster.chaos.prober import Prober
from flux_cluster.chaos.publisher import Publisher

SPACES = ("n0", "n1")
DROP = 0  # the connection breaks without an answer


@dataclass
class Script:
    """What a server answers, request after request, and what it was asked."""

    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def script(monkeypatch) -> Iterator[Script]:
    """A server that answers what it is told to, then 200, and has its client stop with the last."""
    for module in (publisher, counter, prober):
        monkeypatch.setattr(module, "_AGAIN_S", 0.001)
        monkeypatch.setattr(module, "_TIMEOUT_S", 60.0)
    monkeypatch.setattr(counter, "_PAUSE_S", 0.0)
    monkeypatch.setattr(prober, "_PAUSE_S", 0.0)
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(json.loads(body))

        def do_GET(self) -> None:
            self._answer(None)

        def _answer(self, body: Any) -> None:
            script.asked.append((self.path, body))
            status, told = script.answers.pop(0) if script.answers else (200, {})
            if not script.answers:
                script.stop.set()
            if status == DROP:
                self.close_connection = True
                return
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", '"0.7.0"')
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    yield script
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_a_publisher_sends_the_same_again_until_it_is_taken(script):
    script.answers = [(503, {}), (DROP, None), (200, {"failed": 1}), (200, {"failed": 0})]
    made = Publisher(script.url, SPACES, 0, 2, script.stop)
    made.run()
    assert len(script.asked) == 4
    assert all(request == script.asked[0] for request in script.asked)
    assert (made.retries, made.trouble) == (3, [])
    body = script.asked[0][1]
    events = body if isinstance(body, list) else [body]
    known = [event_id for ids in made.acked.values() for event_id in ids]
    assert sorted(known) == sorted(event["eventId"] for event in events)


def test_a_publisher_knows_what_must_come_of_what_was_taken(script):
    script.answers = [(200, {"failed": 0})] * 40
    made = Publisher(script.url, SPACES, 1, 3, script.stop)
    made.run()
    expected: dict[str, dict[str, Any]] = {}
    order: dict[str, list[str]] = {}
    for _, body in script.asked:
        for event in body if isinstance(body, list) else [body]:
            entity_id, properties = event["payload"]["entity_id"], event["payload"]["properties"]
            order.setdefault(entity_id, []).append(event["eventId"])
            if "__deleted__" in properties:
                expected.pop(entity_id, None)
            else:
                expected[entity_id] = expected.get(entity_id, {}) | properties
    assert made.state == expected
    assert made.acked == order
    assert {path for path, _ in script.asked} == {
        "/api/events",
        "/api/events/batch",
        "/api/events/batch?atomic=true",
    }
    again = Publisher(script.url, SPACES, 1, 3, script.stop)
    script.answers = [(200, {"failed": 0})] * 40
    script.stop.clear()
    again.run()
    assert again.acked == made.acked  # the seed decides


def test_a_publisher_that_is_refused_says_so_and_ends(script):
    script.answers = [(400, {"error": "no"}), (200, {})]
    made = Publisher(script.url, SPACES, 0, 2, script.stop)
    made.run()
    assert made.trouble == ['400 {"error": "no"}']
    assert made.acked == {}


def test_one_that_gives_up_does_not_wait_for_an_answer(script):
    made = Publisher("http://127.0.0.1:1", SPACES, 0, 2, script.stop)
    made.give_up.set()
    made.run()
    assert made.acked == {}
    assert "was not acknowledged" in made.trouble[0]


def counting(script: Script) -> Counter:
    return Counter(script.url, SPACES, 0, 1, script.stop, threading.Event())


def test_a_counter_counts_on_what_it_has_read_and_asks_again_under_the_same_id(script):
    script.answers = [(200, {"properties": {"n": 4}}), (503, {}), (200, {})]
    made = counting(script)
    made.run()
    (_, read), (_, sent), (_, again) = script.asked
    assert read is None
    assert sent == again
    assert (sent["condition"], sent["payload"]["properties"]) == ({"etag": "0.7.0"}, {"n": 5})
    assert list(made.counted.values()) == [[5]]
    assert (made.retries, made.refused) == (1, 0)


def test_a_counter_that_was_too_late_has_not_counted(script):
    script.answers = [(404, {}), (412, {})]
    made = counting(script)
    made.run()
    assert script.asked[1][1]["condition"] == {"absent": True}
    assert (made.counted, made.refused, made.trouble) == ({}, 1, [])


def test_a_counter_that_is_answered_what_must_not_be_says_so(script):
    script.answers = [(500, {})]
    made = counting(script)
    made.run()
    assert made.trouble == ["500 {}"]


@pytest.mark.parametrize("writes", [True, False])
def test_a_prober_notes_the_longest_time_without_an_answer(script, writes):
    script.answers = [(200, []), (503, {}), (DROP, None), (503, {}), (200, []), (200, [])]
    made = Prober(script.url, "n", script.stop, writes)
    made.run()
    assert made.answered == 3
    assert made.longest_s >= 0.003  # between four tries there are three pauses
    if writes:  # the same event each time, until it was taken
        assert [body["payload"]["properties"]["n"] for _, body in script.asked] == [0, 1, 1, 1, 1, 2]
    else:
        assert {path for path, _ in script.asked} == {"/api/state/entities?prefix=n%2F&limit=5"}


def test_a_prober_ends_with_its_last_event_acknowledged_and_knows_what_its_entity_must_be(script):
    script.answers = [(200, {}), (503, {})]  # it is told to stop with the second
    made = Prober(script.url, "n", script.stop, writes=True)
    assert made.state == {}
    made.run()
    assert (len(script.asked), made.state, made.trouble) == (3, {"n/probe": {"n": 1}}, [])


def test_a_prober_whose_last_event_is_never_taken_says_so(script, monkeypatch):
    monkeypatch.setattr(prober, "RETRY_S", 0.01)
    script.stop.set()
    script.answers = [(503, {})] * 1_000_000
    made = Prober(script.url, "n", threading.Event(), writes=True)
    thread = threading.Thread(target=made.run)
    thread.start()
    while made.longest_s < 0.02:
        thread.join(0.001)
    assert thread.is_alive()  # before it is to end, an outage is only measured
    made.stop.set()
    thread.join(10)
    assert (made.trouble, made.state) == (["event 0 was not acknowledged within 0 s"], {})


def test_the_seed_decides_under_which_ids_a_prober_publishes(script):
    ids = []
    for seed in (1, 1, 2):
        script.stop.clear()
        script.answers = [(200, {})] * 3
        Prober(script.url, "n", script.stop, writes=True, seed=seed).run()
        ids.append([body["eventId"] for _, body in script.asked[-3:]])
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("writes", [True, False])
def test_a_prober_that_is_never_answered_has_been_without_all_the_time(writes):
    stop, give_up = threading.Event(), threading.Event()
    made = Prober("http://127.0.0.1:1", "n", stop, writes, give_up=give_up)
    thread = threading.Thread(target=made.run)
    thread.start()
    while made.longest_s < 0.05:
        thread.join(0.001)
    (give_up if writes else stop).set()
    thread.join(10)
    assert not thread.is_alive()
    assert made.answered == 0
