"""HTTP itself, byte by byte: what is refused, what is put in order, and that a connection never lies."""

from __future__ import annotations

import pytest

from tests.integration.api.support import assert_error, body_of, chunked, post

pytestmark = pytest.mark.real
KIB = 1024
MIB = 1024 * KIB
GET_LIVE = b"GET /api/live HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"\r\n\r\nx\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost\r\n\r\n",
            b"nonsense\r\n\r\n",
            b"\x00\x01\x02\r\n\r\n",
        ),
        *(
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTX/1.1\r\n\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        ),
        *(
            b"GET / HTTP/1.1\r\n: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nA B: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        ),
        *(b"GET / HTTP/1.1\r\nHost: a\r\n continued: x\r\n\r\n", b"G\xffT / HTTP/1.1\r\nHost: a\r\n\r\n"),
        *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ],
    ids=lambda data: ascii(data[:24]),
)
def test_what_is_no_http_is_400_and_the_connection_closes(raw, data):
    connection = raw()
    connection.send(data)
    assert_error(connection.answer(), 400)
    assert connection.closed_by_server()


@pytest.mark.parametrize(
    "headers",
    [
        *(
            b"Content-Length: 5\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        ),
        *(
            b"Content-Length: 5\r\nContent-Length: 6",
            b"Content-Length: 5\r\nContent-Length: 5",
            b"Content-Length: -5",
        ),
        *(b"Content-Length: 5x", b"Content-Length: +5", b"Content-Length: 0x5", b"Content-Length: 5, 6"),
        *(b"Content-Length: " + b"9" * 40, b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, gzip"),
        *(b"Transfer-Encoding: xchunked", b"Content-Length: 5\r\nTransfer-Encoding: identity"),
    ],
    ids=lambda headers: headers.decode()[:60].replace("\r\n", " + "),
)
def test_a_body_whose_end_is_in_doubt_is_400_and_the_connection_closes(raw, headers):
    connection = raw()
    connection.send(b"POST /api/events HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n\r\n0\r\n\r\n" + GET_LIVE)
    assert_error(connection.answer(), 400)
    assert connection.closed_by_server()


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\n",
        b"-1\r\n",
        b"5\r\nhelloworld\r\n",
        b"fffffffffffffffff\r\n",
        b" 5\r\nhello\r\n",
        b"5;\x00\r\nhello\r\n",
        b"\r\n",
    ],
    ids=ascii,
)
def test_broken_chunks_are_400_and_the_connection_closes(raw, chunks):
    connection = raw()
    connection.send(
        b"POST /api/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + GET_LIVE
    )
    assert_error(connection.answer(), 400)
    assert connection.closed_by_server()


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_chunked_body_is_taken(raw, namespace, size):
    connection = raw()
    connection.send(
        b"POST /api/events?wait=applied HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunked(body_of(namespace, "x" * 500), size)
    )
    assert connection.answer().json()["entity"]["properties"] == {"n": "x" * 500}


def test_chunk_extensions_and_trailers_do_no_harm(raw, namespace):
    body = body_of(namespace)
    connection = raw()
    connection.send(
        b"POST /api/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
        + b"%X;name=value\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(body), body)
        + GET_LIVE
    )
    assert connection.answer().status_code == 200
    assert connection.answer().json()["status"] == "live"


@pytest.mark.parametrize("size", [64 * KIB + 100, 200 * KIB, 2 * MIB])
def test_a_request_line_over_64_kib_is_refused(raw, size):
    connection = raw()
    connection.send(b"GET /" + b"a" * size + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_error(connection.answer(), range(414, 415))
    assert connection.closed_by_server()


def test_a_request_line_that_never_ends_is_refused_before_it_does(raw):
    connection = raw()
    connection.send(b"GET /" + b"a" * (70 * KIB))
    assert_error(connection.answer(), 414)


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"a" * (65 * KIB),
        b"X" * (65 * KIB) + b": a",
        b"\r\n".join(b"X-%d: %s" % (n, b"a" * 1000) for n in range(70)),
        b"\r\n".join(b"X: y" for _ in range(20_000)),
        b"Cookie: " + b"a" * (2 * MIB),
    ],
    ids=["one long value", "one long name", "many", "very many small", "two mebibytes"],
)
def test_headers_over_64_kib_are_refused(raw, headers):
    connection = raw()
    connection.send(b"GET /api/live HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n\r\n")
    assert_error(connection.answer(), 431)
    assert connection.closed_by_server()


def test_headers_that_never_end_are_refused_before_they_do(raw):
    connection = raw()
    connection.send(b"GET /api/live HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 12_000)
    assert_error(connection.answer(), 431)


@pytest.mark.parametrize("name", [b"X", b"Cookie", b"Authorization"])
def test_headers_of_60_kib_are_taken(raw, name):
    connection = raw()
    connection.send(b"GET /api/live HTTP/1.1\r\nHost: a\r\n%s: %s\r\n\r\n" % (name, b"a" * 60 * KIB))
    assert connection.answer().status_code == 200


def test_the_bound_counts_for_each_request_of_a_connection_alone(raw):
    connection = raw()
    for _ in range(4):
        connection.send(b"GET /api/live HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"a" * 30 * KIB))
        assert connection.answer().status_code == 200


def test_a_large_body_does_not_count_as_headers(raw, namespace):
    connection = raw()
    for n in range(3):
        connection.send(post(body_of(namespace, "x" * 200 * KIB)))
        assert connection.answer().status_code == 200, n
