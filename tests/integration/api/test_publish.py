"""`POST /api/events`: what is taken, what is refused, and that numbers and ids come back as sent."""

from __future__ import annotations

import json
import time
import uuid

import pytest

from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
MIB = 1024 * 1024


def test_an_event_is_answered_with_exactly_its_id_and_stream(api, namespace):
    answer = api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, eventId=f"{namespace}-1"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == b'{"eventId":"%s-1","stream":"sensors"}' % namespace.encode()
    assert answer.headers["Flux-Position"]


def test_a_missing_event_id_becomes_a_uuid_of_version_7(api, namespace):
    answer = api.post("/api/events", json=event(f"{namespace}/e", {"a": 1})).json()
    assert uuid.UUID(answer["eventId"]).version == 7


@pytest.mark.parametrize("name", ["eventId", "timestamp", "key", "schema"])
@pytest.mark.parametrize("value", ["", None], ids=["empty", "null"])
def test_an_empty_or_null_optional_field_counts_as_missing(api, namespace, name, value):
    body = event(f"{namespace}/e", {"a": 1}, **{name: value})
    answer = api.post("/api/events", json=body)
    assert answer.status_code == 200
    assert answer.json()["eventId"]
    (logged,) = api.get("/api/events", params={"entity": f"{namespace}/e"}).json()
    assert abs(logged["timestamp"] / 1000 - time.time()) < 60
    assert "key" not in logged
    assert "schema" not in logged


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "*/*; ü"]
)
def test_any_content_type_or_none_will_do(api, namespace, content_type):
    body = json.dumps(event(f"{namespace}/e", {"a": 1}))
    answer = api.post("/api/events", content=body, headers={"Content-Type": content_type.encode()})
    assert answer.status_code == 200


def test_a_request_without_content_type_will_do(raw, namespace):
    body = json.dumps(event(f"{namespace}/e", {"a": 1})).encode()
    connection = raw()
    connection.send(b"POST /api/events HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert connection.answer().status_code == 200


@pytest.mark.parametrize(
    "stream", ["a", "0", "sensors", "a.b", "a.b.c", "s1.room2", "1.2", "a" * 255, ".".join("a" * 128)]
)
def test_a_valid_stream_is_taken(api, namespace, stream):
    answer = api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, stream=stream))
    assert answer.status_code == 200
    assert answer.json()["stream"] == stream


@pytest.mark.parametrize(
    "stream",
    [
        *(
            "",
            ".",
            "..",
            ".a",
            "a.",
            "a..b",
            "A",
            "Sensors",
            "a_b",
            "a-b",
            "a b",
            " a",
            "a ",
            "a/b",
            "ä",
            "a\n",
        ),
        *("\n", "a\x00", "٣", "a" * 256, None, 1, True, 1.5, [], ["a"], {}, {"a": 1}),
    ],
    ids=repr,
)
def test_an_invalid_stream_is_refused(api, namespace, stream):
    sentence = assert_error(
        api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, stream=stream)), 400
    )
    assert "stream" in sentence


@pytest.mark.parametrize("source", ["s", " ", "ü", "a" * 255, "ü" * 255, "a/b\tc", "日本"])
def test_a_valid_source_is_kept(api, namespace, source):
    assert api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, source=source)).status_code == 200
    (logged,) = api.get("/api/events", params={"entity": f"{namespace}/e"}).json()
    assert logged["source"] == source


@pytest.mark.parametrize("source", ["", "a" * 256, None, 0, 1, True, [], ["s"], {}], ids=repr)
def test_an_invalid_source_is_refused(api, namespace, source):
    sentence = assert_error(
        api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, source=source)), 400
    )
    assert "source" in sentence


@pytest.mark.parametrize("name", ["stream", "source", "payload"])
def test_a_missing_required_field_is_named(api, namespace, name):
    body = event(f"{namespace}/e", {"a": 1})
    del body[name]
    assert name in assert_error(api.post("/api/events", json=body), 400)


@pytest.mark.parametrize("payload", [None, "", "x", 1, True, [], [{}]], ids=repr)
def test_a_payload_that_is_no_object_is_refused(api, payload):
    sentence = assert_error(
        api.post("/api/events", json={"stream": "a", "source": "s", "payload": payload}), 400
    )
    assert "payload" in sentence


@pytest.mark.parametrize("timestamp", [1, 1_700_000_000_000, 2**53 + 1, 2**63 - 1])
def test_a_timestamp_is_kept(api, namespace, timestamp):
    assert (
        api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, timestamp=timestamp)).status_code
        == 200
    )
    (logged,) = api.get("/api/events", params={"entity": f"{namespace}/e"}).json()
    assert logged["timestamp"] == timestamp


@pytest.mark.parametrize(
    "timestamp", [0, -1, -(2**63), 2**64, 1.5, 1e3, True, False, "1", "now", [], {}], ids=repr
)
def test_an_invalid_timestamp_is_refused(api, namespace, timestamp):
    sentence = assert_error(
        api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, timestamp=timestamp)), 400
    )
    assert "timestamp" in sentence or "64" in sentence


@pytest.mark.parametrize("event_id", ["x", "ü" * 128, "a" * 128, "with space/and'quotes\"", "\u0000", "0"])
def test_any_event_id_up_to_128_characters_is_kept(api, namespace, event_id):
    answer = api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, eventId=event_id))
    assert answer.status_code == 200
    assert answer.json()["eventId"] == event_id


@pytest.mark.parametrize("event_id", ["a" * 129, 1, True, [], {}, 1.5], ids=repr)
def test_an_invalid_event_id_is_refused(api, namespace, event_id):
    sentence = assert_error(
        api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, eventId=event_id)), 400
    )
    assert "eventId" in sentence


@pytest.mark.parametrize("name", ["key", "schema"])
@pytest.mark.parametrize("value", [1, True, [], {}], ids=repr)
def test_a_key_or_schema_that_is_no_string_is_refused(api, namespace, name, value):
    sentence = assert_error(
        api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, **{name: value})), 400
    )
    assert name in sentence


def test_key_and_schema_are_kept(api, namespace):
    api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, key="k", schema="s/1"))
    (logged,) = api.get("/api/events", params={"entity": f"{namespace}/e"}).json()
    assert (logged["key"], logged["schema"]) == ("k", "s/1")


def test_unknown_envelope_fields_are_ignored(api, namespace, read):
    body = event(f"{namespace}/e", {"a": 1}, extra={"deep": [1]}, event_id="no", EventId="no")
    answer = api.post("/api/events", json=body)
    assert answer.status_code == 200
    assert answer.json()["eventId"] != "no"
    assert read(f"{namespace}/e") == {"a": 1}
