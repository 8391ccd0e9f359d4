"""`GET /api/stream`: Server-Sent Events of a real Flux, read as a browser reads them."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack

import httpx
import pytest

from tests.integration.api.support import RawConnection, assert_error, event
from tests.server_sent_events import EventSource

pytestmark = pytest.mark.real
READ_S = 10.0


class Page:
    """A page with an EventSource: what it was told over all its connections."""

    def __init__(self) -> None:
        self.source = EventSource()
        self.events = []
        self.answer = None
        self._open = ExitStack()

    def connect(self, url, query=(), headers=None):
        """Open a connection, coming back from where the last one was."""
        sent = {"Accept": "text/event-stream", **self.source.reconnect(), **(headers or {})}
        client = self._open.enter_context(httpx.Client(timeout=READ_S, trust_env=False))
        self.answer = self._open.enter_context(
            client.stream("GET", f"{url}/api/stream", params=query, headers=sent)
        )
        self._parts = self.answer.iter_raw()
        return self

    def disconnect(self):
        self._open.close()
        self._open = ExitStack()

    def until(self, condition):
        """Read until `condition` holds of this page."""
        while not condition():
            self.events += self.source.feed(next(self._parts))
        return self

    def deltas(self):
        return [(m["entity_id"], m["properties"]) for m in self.messages("delta")]

    def messages(self, kind):
        return [e.message for e in self.events if e.kind == kind]


@pytest.fixture
def page():
    page = Page()
    yield page
    page.disconnect()


def test_a_page_of_any_origin_hears_what_happens(flux, namespace, publish, page):
    page.connect(flux.url, {"prefix": f"{namespace}/"}, {"Origin": "https://dashboard.example"})
    assert page.answer.status_code == 200
    assert page.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert page.answer.headers["access-control-allow-origin"] in {"*", "https://dashboard.example"}
    page.until(lambda: page.source.last_id)
    publish(f"{namespace}/e", {"text": "two\nlines \u2028 ü", "n": 1})
    publish(f"{namespace}/e", {"__deleted__": True})
    page.until(lambda: page.messages("entity_deleted"))
    told = [(m["property"], m["value"]) for m in page.messages("state_update")]
    assert told == [("text", "two\nlines \u2028 ü"), ("n", 1)]
    assert page.messages("entity_deleted")[0]["entity_id"] == f"{namespace}/e"


def test_it_is_not_compressed_for_a_compressor_would_hold_megabytes(flux, page):
    page.connect(flux.url, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})
    page.until(lambda: page.source.last_id)
    assert "content-encoding" not in page.answer.headers


def test_a_page_that_comes_and_goes_misses_nothing_and_hears_nothing_twice(flux, api, namespace, page):
    """A writer goes on all the time; the page breaks off in the middle, and comes back at either entrance."""
    entrances = [flux.url, f"http://127.0.0.1:{flux.serve_port}"]
    query = {"entity": "*", "format": "delta"}
    count, stop = 3_000, threading.Event()

    def write():
        with httpx.Client(base_url=flux.url, timeout=10) as client:
            for begin in range(0, count, 20):
                events = [event(f"{namespace}{n % 5}/e", {"n": n}) for n in range(begin, begin + 20)]
                assert client.post("/api/events/batch", json=events).json()["failed"] == 0
                if stop.wait(0.005):
                    return

    def mine():
        return [d for d in page.deltas() if d[0].startswith(namespace)]

    page.connect(flux.url, query).until(lambda: page.source.last_id)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(1, 9):
            before = len(mine())
            page.until(lambda before=before: len(mine()) >= min(before + 300, count))
            page.disconnect()
            page.connect(entrances[turn % 2], query)
        page.until(lambda: len(mine()) >= count)
    finally:
        stop.set()
        writer.join()
    assert page.messages("resync") == []
    for space in range(5):
        told = [properties["n"] for entity_id, properties in mine() if entity_id == f"{namespace}{space}/e"]
        assert told == list(range(space, count, 5))


def test_the_state_first_then_what_happens_to_it(flux, api, namespace, page):
    bodies = [event(f"{namespace}/{n}", {"n": n, "x": 1}) for n in range(50)]
    assert api.post("/api/events/batch?wait=applied", json=bodies).json()["failed"] == 0
    query = {"prefix": f"{namespace}/", "initial": "true", "where": "n < 3", "fields": "n"}
    page.connect(flux.url, query).until(lambda: len(page.messages("state")) == 3)
    page.until(lambda: page.source.last_id)
    api.post("/api/events", json=event(f"{namespace}/2", {"n": 7}))
    page.until(lambda: page.messages("left"))
    assert {m["entity"]["properties"]["n"] for m in page.messages("state")} == {0, 1, 2}
    assert [e.kind for e in page.events] == ["state"] * 3 + ["left"]


def test_one_that_does_not_read_is_told_the_newest_values_in_the_end(flux, api, namespace):
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    slow.connect(("127.0.0.1", flux.port))
    slow.settimeout(READ_S)
    with slow:
        slow.sendall(f"GET /api/stream?prefix={namespace}/ HTTP/1.0\r\nHost: a\r\n\r\n".encode())
        begin = slow.recv(4_096)
        assert begin.startswith(b"HTTP/1.1 200")
        for n in range(40):
            bodies = [event(f"{namespace}/{i}", {"n": n, "text": "x" * 5_000}) for i in range(100)]
            assert api.post("/api/events/batch", json=bodies).json()["failed"] == 0
        assert api.post("/api/events?wait=applied", json=event(f"{namespace}/end", {"n": 1})).is_success
        source, events, begin = EventSource(), [], begin.partition(b"\r\n\r\n")[2]
        while not any(e.kind == "state_update" and e.message["entity_id"].endswith("/end") for e in events):
            events += source.feed(begin or slow.recv(1 << 20))
            begin = b""
    assert any(e.kind == "conflated" for e in events)
    newest = {e.message["entity_id"]: e.message["value"] for e in events if '"property":"n"' in e.data}
    assert all(newest[f"{namespace}/{i}"] == 39 for i in range(100))
    assert sum(len(e.data) for e in events) < 15_000_000 < 40 * 100 * 5_000


def test_a_stream_through_the_second_entrance_is_the_same(flux, namespace, publish, page):
    page.connect(f"http://127.0.0.1:{flux.serve_port}", {"entity": f"{namespace}/e"})
    page.until(lambda: page.source.last_id)
    publish(f"{namespace}/e", {"n": 1})
    page.until(lambda: page.events)
    assert page.messages("state_update")[0]["value"] == 1


def test_a_query_that_cannot_be_read_is_told(api):
    assert "position" in assert_error(api.get("/api/stream", headers={"Last-Event-ID": "no"}), 400)
    assert "prefix" in assert_error(api.get("/api/stream?prefix=a"), 400)


def test_a_request_behind_a_stream_waits_and_does_no_harm(flux, namespace, publish):
    with RawConnection(flux.port) as connection:
        ask = f"GET /api/stream?entity={namespace}/e HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        connection.send(ask + b"GET /api/live HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"id: " not in received:
            received += connection.socket.recv(65_536)
        publish(f"{namespace}/e", {"n": 1})
        while b'"value":1' not in received:
            received += connection.socket.recv(65_536)
    assert received.count(b"HTTP/1.1 200") == 1
