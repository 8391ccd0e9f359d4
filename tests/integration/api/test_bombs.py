"""Bodies that are small to send and large to read: refused at once, and nobody else waits for them."""

from __future__ import annotations

import gzip
import json
import time

import pytest

from tests.busy import busy
from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
KIB = 1024
MIB = 1024 * KIB
ENOUGH_S = 5.0


def event_with(value: bytes) -> bytes:
    """Return an event whose property `v` is spelt like this."""
    return b'{"stream":"a","source":"b","payload":{"entity_id":"bombs/e","properties":{"v":%s}}}' % value


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br", "deflate", "gzip, gzip"])
@pytest.mark.parametrize("path", ["/api/events", "/api/events/batch", "/api/state/entities/get"])
def test_a_compressed_body_is_415_whatever_is_in_it(api, path, coding):
    bomb = gzip.compress(b'{"a":"' + b" " * 20 * MIB + b'"}')
    sentence = assert_error(api.post(path, content=bomb, headers={"Content-Encoding": coding}), 415)
    assert "Content-Encoding" in sentence


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"[" * 500_000 + b"]" * 500_000, 400),
        (b'{"a":' * 150_000 + b"1" + b"}" * 150_000, 400),
        (b"1" * 1_000_000, 400),
        (b"-" + b"9" * 4_300, 400),
        (b"1e400", 400),
        (b"1e999999999999", 400),
        (b"0." + b"1" * 1_000_000, 200),  # the nearest number that a client can read
        (b"[" + b",".join([b"1" * 4_000] * 240) + b"]", 400),
        (b"[" + b",".join([b"1." + b"3" * 300] * 3_400) + b"]", 200),
        (b'"' + b"\\u0041" * 170_000 + b'"', 200),
        (b'"' + b"\\" * 1_000_000 + b'"', 200),
        (b'"\\ud800"', 400),
        (b"\xef\xbb\xbf1", 400),
        (b"nan", 400),
        (b"Infinity", 400),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else str(value),
)
def test_values_that_are_hard_to_read_are_judged_soon(api, value, status):
    started = time.monotonic()
    answer = api.post("/api/events", content=event_with(value))
    assert answer.status_code == status
    if status >= 400:
        assert_error(answer, status)
    assert time.monotonic() - started < ENOUGH_S * busy()


def test_the_last_of_a_hundred_thousand_equal_keys_counts(api):
    keys = b"{" + b",".join(b'"k":%d' % n for n in range(100_000)) + b"}"
    answer = api.post("/api/events?wait=applied", content=event_with(keys))
    assert answer.json()["entity"]["properties"] == {"v": {"k": 99_999}}
    envelope = b'{"stream":"a","source":"b","payload":1,"payload":{"entity_id":"bombs/f","properties":{}}}'
    assert api.post("/api/events", content=envelope).status_code == 200


def test_as_many_keys_as_fit_are_an_event_like_any_other(api, namespace):
    wide = {f"key{n}": n for n in range(50_000)}
    answer = api.post("/api/events?wait=applied", json=event(f"{namespace}/wide", wide))
    assert answer.json()["entity"]["properties"] == wide
    api.delete(f"/api/state/entities/{namespace}/wide")


@pytest.mark.parametrize("element", [b"1", b"{}", b"[]", b"null", b'""'])
def test_a_batch_of_millions_of_nothings_is_one_refusal(api, element):
    count = 5 * MIB // (len(element) + 1)
    started = time.monotonic()
    answer = api.post("/api/events/batch", content=b"[" + b",".join([element] * count) + b"]")
    assert "events" in assert_error(answer, 413)
    assert len(answer.content) < KIB
    assert time.monotonic() - started < 2 * ENOUGH_S * busy()


@pytest.mark.parametrize(
    ("path", "name"), [("/api/state/entities/get", "ids"), ("/api/state/entities/delete", "entity_ids")]
)
def test_millions_of_ids_are_one_refusal(api, path, name):
    body = json.dumps({name: ["a"] * 1_500_000}).encode()
    answer = api.post(path, content=body)
    assert_error(answer, range(400, 414))
    assert len(answer.content) < KIB


def test_ranges_and_other_ways_to_ask_for_more_than_there_is_are_ignored(api, publish, namespace):
    publish(f"{namespace}/e", {"a": 1})
    ranges = {"Range": "bytes=" + ",".join("0-" for _ in range(5_000))}
    assert len(api.get(f"/api/state/entities/{namespace}/e", headers=ranges).content) < KIB
