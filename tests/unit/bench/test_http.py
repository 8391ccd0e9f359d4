"""Requests and answers of the generator, as bytes."""

from __future__ import annotations

import pytest

from flux_bench.generator.http import (
    INCOMPLETE,
    UNSIZED,
    answer_size,
    body_of,
    get,
    is_whole,
    post,
    status_of,
)
from flux_bench.workload import event_pieces, with_number

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\n%b: 5\r\n\r\nabcde"


def test_a_request_says_its_length_and_host():
    request = with_number(post("h:1", "/api/events", event_pieces("a/b")), 7)
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/events HTTP/1.1\r\nHost: h:1\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert get("h:1", "/x", "Accept: a\r\n") == b"GET /x HTTP/1.1\r\nHost: h:1\r\nAccept: a\r\n\r\n"


@pytest.mark.parametrize("name", [b"content-length", b"Content-Length", b"CONTENT-LENGTH"])
def test_the_end_of_an_answer_is_found_however_its_header_is_written(name: bytes):
    answer = SIZED % name
    assert answer_size(answer) == len(answer)
    assert body_of(answer) == b"abcde"
    assert status_of(answer) == 200
    for end in range(len(answer)):
        size = answer_size(answer[:end])
        assert size in {INCOMPLETE, len(answer)}
        assert not is_whole(answer[:end], answer[:end], end)
    assert is_whole(answer, answer[-3:], len(answer))


def test_chunks_are_joined_and_their_end_is_seen():
    assert answer_size(CHUNKED) == UNSIZED
    assert body_of(CHUNKED) == b"abcde"
    assert is_whole(CHUNKED, CHUNKED[-7:], len(CHUNKED))
    assert not is_whole(CHUNKED, CHUNKED[-20:-8], len(CHUNKED) - 8)


def test_what_is_no_answer_has_no_status():
    assert status_of(b"\x81\x05hello") == 0
    assert status_of(b"") == 0
