"""The course of a connection: pipelining, HTTP/1.0, waiting for 100, limits of bodies, odd arrivals."""

from __future__ import annotations

import json

import pytest

from tests.busy import busy
from tests.integration.api.support import assert_error, body_of, post

pytestmark = pytest.mark.real
KIB = 1024
MIB = 1024 * KIB
GET_LIVE = b"GET /api/live HTTP/1.1\r\nHost: a\r\n\r\n"


def test_pipelined_requests_are_answered_in_order(raw, namespace):
    connection = raw()
    requests = [
        b"GET /api/state/entities/%s/none-%d HTTP/1.1\r\nHost: a\r\nX-Request-Id: r%d\r\n\r\n"
        % (namespace.encode(), n, n)
        for n in range(50)
    ]
    connection.send(b"".join(requests))
    assert [connection.answer().headers["x-request-id"] for _ in requests] == [f"r{n}" for n in range(50)]


def test_pipelined_writes_and_reads_see_each_other_in_order(raw, namespace):
    connection = raw()
    read = b"GET /api/state/entities/%s/e HTTP/1.1\r\nHost: a\r\n\r\n" % namespace.encode()
    connection.send(
        b"".join(post(body_of(namespace, n), path=b"/api/events?wait=applied") + read for n in range(20))
    )
    for n in range(20):
        assert connection.answer().json()["entity"]["properties"] == {"n": n}
        assert connection.answer().json()["properties"] == {"n": n}


def test_a_broken_request_behind_good_ones_is_answered_last(raw):
    connection = raw()
    connection.send(GET_LIVE * 3 + b"nonsense\r\n\r\n")
    assert [connection.answer().status_code for _ in range(3)] == [200] * 3
    assert_error(connection.answer(), 400)
    assert connection.closed_by_server()


def test_pipelined_behind_an_error_goes_on(raw):
    connection = raw()
    connection.send(
        post(b"no json") + b"PATCH /api/events HTTP/1.1\r\nHost: a\r\n\r\n" + post(b"{}") + GET_LIVE
    )
    assert [connection.answer().status_code for _ in range(4)] == [400, 405, 400, 200]


def test_a_list_and_what_is_pipelined_behind_it(raw, namespace):
    connection = raw()
    connection.send(
        b"GET /api/state/entities?namespace=%s HTTP/1.1\r\nHost: a\r\n\r\n" % namespace.encode() + GET_LIVE
    )
    assert connection.answer().json() == []
    assert connection.answer().json()["status"] == "live"


def test_http_1_0_is_answered_and_closed(raw):
    connection = raw()
    connection.send(b"GET /api/live HTTP/1.0\r\n\r\n")
    answer = connection.answer()
    assert answer.json()["status"] == "live"
    assert "transfer-encoding" not in answer.headers
    assert connection.closed_by_server()


def test_http_1_0_may_publish_and_list(raw, namespace):
    connection = raw()
    connection.send(post(body_of(namespace), path=b"/api/events?wait=applied", version=b"1.0"))
    assert connection.answer().status_code == 200
    listing = raw()
    listing.send(b"GET /api/state/entities?namespace=%s HTTP/1.0\r\n\r\n" % namespace.encode())
    answer = listing.answer()
    assert "transfer-encoding" not in answer.headers
    assert [entity["id"] for entity in json.loads(answer.content)] == [f"{namespace}/e"]


def test_connection_close_is_honoured(raw):
    connection = raw()
    connection.send(b"GET /api/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert connection.answer().headers["connection"] == "close"
    assert connection.closed_by_server()


def test_a_connection_is_kept_by_default(raw):
    connection = raw()
    for _ in range(20):
        connection.send(GET_LIVE)
        assert connection.answer().status_code == 200


def test_expect_100_continue_is_honoured_before_the_body_is_sent(raw, namespace):
    body = body_of(namespace)
    connection = raw()
    connection.send(post(b"", b"Expect: 100-continue").replace(b"Length: 0", b"Length: %d" % len(body)))
    assert connection.answer().status_code == 100
    connection.send(body)
    assert connection.answer().status_code == 200


def test_a_body_that_will_be_refused_is_not_asked_for(raw):
    connection = raw()
    connection.send(
        b"POST /api/events HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
    )
    assert_error(connection.answer(), 413)


def test_a_client_that_does_not_wait_for_100_is_answered_all_the_same(raw, namespace):
    connection = raw()
    connection.send(post(body_of(namespace), b"Expect: 100-continue"))
    assert connection.answer().status_code in {100, 200}


@pytest.mark.parametrize(
    "path", [b"/api/events", b"/api/events/batch", b"/api/state/entities/delete", b"/api/admin/config"]
)
def test_an_announced_body_over_the_limit_is_413_before_any_of_it_is_sent(raw, path):
    method = b"PUT" if path.endswith(b"config") else b"POST"
    connection = raw()
    connection.send(b"%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n" % (method, path))
    assert_error(connection.answer(), 413)


@pytest.mark.parametrize(("path", "limit"), [(b"/api/events", MIB), (b"/api/events/batch", 10 * MIB)])
def test_a_chunked_body_over_the_limit_is_413_while_it_streams_in(raw, path, limit):
    connection = raw()
    connection.send(b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path)
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    for _ in range(limit // 65536 + 1):
        connection.send(piece)
    assert_error(connection.answer(), 413)


@pytest.mark.parametrize("path", [b"/api/events", b"/nowhere", b"/api/live"])
def test_the_body_of_a_refused_request_is_never_taken_for_requests(raw, path):
    smuggled = (b"GET /api/connectors HTTP/1.1\r\nHost: a\r\n\r\n" * 40_000)[: MIB + 500_000]
    connection = raw()
    connection.send(post(smuggled, path=path))
    assert_error(connection.answer(), range(400, 500))
    connection.send(GET_LIVE)
    try:
        answer = connection.answer()
    except (AssertionError, ConnectionError):
        return
    assert answer.json() == {"status": "live"}


@pytest.mark.parametrize("path", [b"/api/live", b"/api/state/entities/no/body", b"/nowhere"])
def test_a_get_with_a_body_leaves_the_connection_in_order(raw, path):
    connection = raw()
    connection.send(b"GET %s HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world" % path + GET_LIVE)
    connection.answer()
    assert connection.answer().json()["status"] == "live"


def test_head_has_no_body_and_leaves_the_connection_in_order(raw):
    connection = raw()
    connection.send(
        b"HEAD /api/live HTTP/1.1\r\nHost: a\r\n\r\nHEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" + GET_LIVE
    )
    assert connection.answer(to_head=True).status_code == 200
    assert connection.answer(to_head=True).status_code in {404, 405}
    assert connection.answer().json()["status"] == "live"


def test_a_request_split_at_every_byte_is_understood(raw, api, namespace):
    request = post(body_of(namespace), path=b"/api/events?wait=applied")
    for place in range(1, len(request)):
        connection = raw()
        connection.send(request[:place])
        api.get("/api/live")  # by its answer the server has had time for the first part
        connection.send(request[place:])
        assert connection.answer().status_code == 200, place
        connection.socket.close()


def test_a_request_that_comes_byte_by_byte_is_understood(raw, namespace):
    connection = raw()
    for byte in post(body_of(namespace), path=b"/api/events?wait=applied"):
        connection.send(bytes([byte]))
    assert connection.answer().json()["entity"]["properties"] == {"n": 1}


def test_slow_and_silent_connections_hold_up_nobody(raw, api):
    for _ in range(200):
        connection = raw()
        connection.send(b"POST /api/events HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    assert api.get("/api/live").elapsed.total_seconds() < busy()


def test_a_client_that_goes_away_in_the_middle_does_no_harm(raw, api, namespace):
    for cut in (
        b"POST /api/ev",
        post(b"x" * 1000)[:-500],
        b"POST /api/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ):
        connection = raw()
        connection.send(cut)
        connection.socket.close()
    assert api.get("/api/live").status_code == 200
    assert api.get("/api/state/entities", params={"namespace": namespace}).json() == []


@pytest.mark.parametrize(
    "target",
    [
        b"http://other.example/api/live",
        b"http://a:80/api/live?x=1",
        b"/api/live?",
        b"/api/live?a=%FF&&=&b",
    ],
)
def test_other_forms_of_the_target_are_understood(raw, target):
    connection = raw()
    connection.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert connection.answer().json()["status"] == "live"


@pytest.mark.parametrize(
    "host", [b"", b"Host:\r\n", b"Host: \xff\r\n", b"Host: a\r\nHost: b\r\n", b"Host: %s\r\n" % (b"a" * 5000)]
)
def test_an_odd_host_is_answered_without_a_fault(raw, host):
    connection = raw()
    connection.send(b"GET /api/live HTTP/1.1\r\n%s\r\n" % host)
    assert connection.answer().status_code in {200, 400}


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.0", b"\xff"])
def test_an_upgrade_that_is_not_offered_is_an_ordinary_answer(raw, upgrade):
    connection = raw()
    connection.send(
        b"GET /api/live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % upgrade
    )
    assert connection.answer().status_code in {200, 400, 404, 426}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 426),
        (b"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 426),
        (b"Sec-WebSocket-Version: 13", 400),
        (b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short", 400),
        (b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \xff\xfe", 400),
        (
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: x",
            400,
        ),
    ],
    ids=["no version", "old version", "no key", "short key", "key of any bytes", "broken length"],
)
def test_a_broken_handshake_is_refused_in_the_shape_of_errors(raw, headers, status):
    connection = raw()
    connection.send(
        b"GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + headers
        + b"\r\n\r\n"
    )
    assert_error(connection.answer(), status)
