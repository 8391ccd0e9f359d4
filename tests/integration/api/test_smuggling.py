"""Requests whose end is in doubt: refused and closed, so that nothing hides behind them on a connection.

The other cases (two lengths, broken chunks, folded lines) stand in `test_http.py`.
"""

from __future__ import annotations

import pytest

from tests.integration.api.support import assert_error, body_of, post

pytestmark = pytest.mark.real
BODY = body_of("smuggled")
LIVE = b"GET /api/live HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /api/events HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNK = b"%x\r\n%s\r\n" % (len(BODY), BODY)
CHUNKS = CHUNK + b"0\r\n\r\n"
KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
REFUSED = {
    "bare line feeds": b"GET /api/live HTTP/1.1\nHost: a\n\n",
    "a bare line feed among others": b"GET /api/live HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare carriage returns": b"GET /api/live HTTP/1.1\rHost: a\r\r",
    "a header in a header": POST + b"X: a\rContent-Length: 5\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : %d\r\n\r\n" % len(BODY) + BODY,
    "a tab before the colon": POST + b"Content-Length\t: %d\r\n\r\n" % len(BODY) + BODY,
    "a space before the name": POST + b" Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "a folded header": POST + b"X: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "a folded length": POST + b"Content-Length:\r\n %d\r\n\r\n" % len(BODY) + BODY,
    "a length that is empty": POST + b"Content-Length: \r\n\r\n",
    "a length in other digits": POST + "Content-Length: ٣\r\n\r\n".encode(),
    "the same length twice in a list": POST + b"Content-Length: 5, 5\r\n\r\n" + BODY,
    "a space in a length": POST + b"Content-Length: 1 0\r\n\r\n" + BODY,
    "chunked by another space": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKS,
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "chunked twice in a list": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKS,
    "identity and chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n" + CHUNKS,
    "compressed and chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + CHUNKS,
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + CHUNKS,
    "no coding beside a length": POST + b"Transfer-Encoding: \r\n" + LENGTH + b"\r\n" + BODY,
    "a space behind the name of the coding": POST + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + CHUNKS,
    "chunks with line feeds": POST + CHUNKED + CHUNKS.replace(b"\r\n", b"\n"),
    "a chunk size with a line feed": POST + CHUNKED + CHUNKS.replace(b"\r\n", b"\n", 1),
    "a chunk without its end": POST + CHUNKED + CHUNKS.replace(b"\r\n0", b"0"),
    "a chunk that ends in a line feed": POST + CHUNKED + CHUNKS.replace(b"\r\n0", b"\n0"),
    "a chunk size with a prefix": POST + CHUNKED + b"0x" + CHUNKS,
    "a chunk size with an underscore": POST + CHUNKED + b"1_0\r\n" + CHUNKS,
    "a chunk size with a space": POST + CHUNKED + CHUNKS.replace(b"\r\n", b" \r\n", 1),
    "an extension with a line feed": POST + CHUNKED + CHUNKS.replace(b"\r\n", b";a\nb\r\n", 1),
    "an extension with a carriage return": POST + CHUNKED + CHUNKS.replace(b"\r\n", b";a\rb\r\n", 1),
    "an extension that ends in a line feed": POST + CHUNKED + CHUNKS.replace(b"\r\n", b";a\n", 1),
    "a last chunk with line feeds": POST + CHUNKED + CHUNK + b"0\n\n",
    "two hosts": b"GET /api/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "NUL in a name": b"GET /api/live HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n",
    "NUL in the target": b"GET /api/live\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "tabs in the request line": b"GET\t/api/live\tHTTP/1.1\r\nHost: a\r\n\r\n",
    "more in the request line": b"GET /api/live HTTP/1.1 x\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET /api/live HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET /api/live HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /api/live\r\n\r\n",
    "a tunnel": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a handshake with a body": (
        b"GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + KEY
        + b"Content-Length: %d\r\n\r\n" % len(LIVE)
    ),
}
UNDERSTOOD = {
    "chunked behind a tab": POST + b"Transfer-Encoding:\tchunked\r\n\r\n" + CHUNKS,
    "chunked before a space": POST + b"Transfer-Encoding: chunked \r\n\r\n" + CHUNKS,
    "a header that only looks like one": POST + b"Transfer_Encoding: chunked\r\n" + LENGTH + b"\r\n" + BODY,
    "zeros before a length": POST + b"Content-Length: 00%d\r\n\r\n" % len(BODY) + BODY,
    "zeros before a chunk size": POST + CHUNKED + b"00000" + CHUNKS,
    "an upgrade that is not offered": (
        POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + LENGTH + b"\r\n" + BODY
    ),
    "another host in the target": b"GET http://elsewhere/api/live HTTP/1.1\r\nHost: a\r\n\r\n",
    "a user in the target": b"GET http://u:p@a/api/live HTTP/1.1\r\nHost: a\r\n\r\n",
    "a body of a GET in chunks": b"GET /api/live HTTP/1.1\r\nHost: a\r\n"
    + CHUNKED
    + b"5\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_and_closes(raw, data):
    connection = raw()
    connection.send(data + LIVE)
    assert_error(connection.answer(), 400)
    assert connection.closed_by_server()


@pytest.mark.parametrize("data", UNDERSTOOD.values(), ids=UNDERSTOOD)
@pytest.mark.parametrize("known", [False, True], ids=["first", "after a known one"])
def test_what_can_be_read_in_one_way_is_answered_once_and_what_follows_too(raw, data, known):
    connection = raw()
    if known:  # the hot way takes what it knows, and nothing of this
        for _ in range(2):
            connection.send(post(BODY))
            assert connection.answer().status_code == 200
    connection.send(data + LIVE)
    assert connection.answer().status_code == 200
    assert connection.answer().json()["status"] == "live"
    connection.send(LIVE)
    assert connection.answer().json()["status"] == "live"


@pytest.mark.parametrize("hidden", [LIVE, post(BODY), b"DELETE /api/state/entities/a/b HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("cut", [0, 1, 20])
def test_the_body_of_a_request_with_an_upgrade_is_never_a_request(raw, api, hidden, cut):
    connection = raw()
    head = POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(hidden)
    connection.send(head + hidden[:cut])
    api.get("/api/live")  # by its answer the server has had time for the first part
    connection.send(hidden[cut:] + LIVE)
    assert_error(connection.answer(), 400)  # no JSON
    assert connection.answer().json() == {"status": "live"}
