"""Reading requests: bounded bodies, strict numbers, what the client wants to wait for."""

from __future__ import annotations

import gzip
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from flux_actors.errors import Refused
from flux_actors.settings import Settings
from flux_api.door import Door
from flux_api.requests import (
    is_true,
    query_of,
    read_body,
    read_json,
    wanted_positions,
    wants_applied,
    whole_number,
)
from tests.unit.api.standing import event


def request(query=b"", headers=(), chunks=(b"",)):
    """Return a request whose body comes in `chunks`, and the list of those not read yet."""
    left = list(chunks)

    async def receive():
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    door = SimpleNamespace(partitioning=SimpleNamespace(partitions=4))
    door.positions = lambda text: Door.positions(door, text)
    app = SimpleNamespace(state=SimpleNamespace(door=door, settings=Settings))
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": query,
        "headers": list(headers),
        "app": app,
    }
    return Request(scope, receive), left


async def test_a_body_is_put_together():
    asked, _ = request(chunks=[b"ab", b"", b"cd"])
    assert await read_body(asked, 4) == b"abcd"


async def test_a_body_past_the_limit_is_refused_as_soon_as_it_is_known():
    asked, left = request(chunks=[b"abc", b"de", b"never read"])
    with pytest.raises(Refused, match="at most 4 bytes") as refused:
        await read_body(asked, 4)
    assert (refused.value.status, left) == (413, [b"never read"])


async def test_an_announced_length_past_the_limit_is_refused_before_reading():
    asked, left = request(headers=[(b"content-length", b"5")], chunks=[b"abcde"])
    with pytest.raises(Refused) as refused:
        await read_body(asked, 4)
    assert (refused.value.status, left) == (413, [b"abcde"])


@pytest.mark.parametrize("length", [b"\xb2", b"many", b"-1", b"9" * 5_000])
async def test_an_announced_length_that_is_no_number_is_refused(length):
    asked, _ = request(headers=[(b"content-length", length)], chunks=[b"ab"])
    with pytest.raises(Refused) as refused:
        await read_body(asked, 4)
    assert refused.value.status in {400, 413}


async def test_a_body_is_read_as_json():
    asked, _ = request(chunks=[b'{"a":', b" 1}"])
    assert await read_json(asked, 100) == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b"\xff", b"[" * 200 + b"]" * 200])
async def test_a_body_that_is_no_json_is_refused(body):
    asked, _ = request(chunks=[body])
    with pytest.raises(Refused) as refused:
        await read_json(asked, 1_000)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("query", "headers", "wants"),
    [
        (b"", [], False),
        (b"wait=applied", [], True),
        (b"", [(b"prefer", b"wait=applied")], True),
        (b"", [(b"prefer", b"return=minimal, wait = applied; x=1")], True),
        (b"", [(b"prefer", b"return=minimal"), (b"prefer", b"wait=applied")], True),
        (b"", [(b"prefer", b"wait=10")], False),
        (b"", [(b"prefer", b"nowait=applied")], False),
    ],
)
def test_whether_the_client_waits_for_its_write(query, headers, wants):
    assert wants_applied(request(query, headers)[0]) is wants


def test_another_wait_is_refused():
    with pytest.raises(Refused, match='wait must be "applied"'):
        wants_applied(request(b"wait=forever")[0])


@pytest.mark.parametrize(
    ("query", "headers"),
    [(b"at_least=1.7.3", []), (b"", [(b"flux-position", b"1.7.3")]), (b"", [(b"flux-position", b'"1.7.3"')])],
)
def test_a_position_comes_by_header_or_query(query, headers):
    assert wanted_positions(request(query, headers)[0]) == {1: 7 << 12 | 3}


def test_a_position_of_several_partitions_and_none():
    assert wanted_positions(request(b"at_least=0.1.0~3.2.0")[0]) == {0: 1 << 12, 3: 2 << 12}
    assert wanted_positions(request()[0]) == {}


@pytest.mark.parametrize("text", [b"x", b"9.1.0", b"0.1", b"0.1.4096", b"0.-1.0"])
def test_a_position_that_is_none_is_refused(text):
    with pytest.raises(Refused, match="no position"):
        wanted_positions(request(b"at_least=" + text)[0])


def test_a_query_is_utf8_and_its_last_word_counts():
    assert query_of(request(b"a=%C3%BC&a=+x&b=")[0]) == {"a": " x", "b": ""}
    for broken in (b"a=%FF", b"\xff=1"):
        with pytest.raises(Refused, match="UTF-8"):
            query_of(request(broken)[0])


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-5", -5), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_a_whole_number(text, number):
    assert whole_number(text, "limit") == number


@pytest.mark.parametrize("text", ["", "-", "1.0", "1e3", "²", "٣", "0x1", " 1", "9" * 19])
def test_what_is_no_whole_number_is_refused_by_name(text):
    with pytest.raises(Refused, match="limit must be a whole number"):
        whole_number(text, "limit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("", False), (None, False)],
)
def test_yes_and_no(text, expected):
    assert is_true(text) is expected


@pytest.mark.parametrize(
    "coding", ["gzip", "GZIP", "zstd", "br", "deflate", "identity, gzip", "x", "gzip,gzip"]
)
async def test_a_body_that_would_have_to_be_decompressed_is_415(client, coding):
    bomb = gzip.compress(b'{"a":"' + b" " * 10_000_000 + b'"}')
    for path in ("/api/events", "/api/events/batch", "/api/state/entities/get", "/api/state/entities/delete"):
        answer = await client.post(path, content=bomb, headers={"Content-Encoding": coding})
        assert answer.status_code == 415
        assert "Content-Encoding" in answer.json()["error"]
        assert answer.headers["accept-encoding"] == "identity"


async def test_a_body_that_says_it_is_not_compressed_is_taken(client):
    for coding in ("identity", "", "Identity"):
        answer = await client.post("/api/events", json=event("n/e", {}), headers={"Content-Encoding": coding})
        assert answer.status_code == 200
