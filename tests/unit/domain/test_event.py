from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.event import Envelope, Event, parse_event, server_event, terms_in, tombstone
from flux_actors.domain.json_text import parse_json
from flux_actors.errors import Refused
from tests.unit.domain.strategies import few, json_objects, many

NOW_MS = 1_700_000_000_000
MISSING = object()


def parsed(**changes: Any) -> Event:
    fields = {"stream": "sensors", "source": "probe", "payload": {}} | changes
    present = {name: value for name, value in fields.items() if value is not MISSING}
    return parse_event(msgspec.convert(present, Envelope), NOW_MS, "new-id")


def refusal(**changes: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        parsed(**changes)
    return caught.value


def test_event_is_kept_with_all_its_fields() -> None:
    event = parsed(
        timestamp=5,
        eventId="mine",
        key="k",
        schema="v1",
        payload={"entity_id": "a/b", "properties": {"n": 1}, "unit": "C"},
    )
    assert event == Event(
        "a/b", {"n": 1}, "mine", True, "probe", "sensors", 5, key="k", schema="v1", rest={"unit": "C"}
    )


def test_event_is_public_in_the_shape_it_was_published() -> None:
    payload = {"entity_id": "a/b", "properties": {"n": 1}, "unit": "C"}
    body = {"stream": "s", "source": "p", "timestamp": 5, "eventId": "i", "key": "k", "schema": "v"}
    event = parsed(**body, payload=payload)
    assert event.public() == body | {"payload": payload}
    assert set(parsed().public()) == {"eventId", "stream", "source", "timestamp", "payload"}


@given(json_objects.filter(lambda rest: not {"ttl_ms", "property_ttl_ms"} & rest.keys()))
@many
def test_payload_is_kept_whole_whatever_it_holds(rest: dict[str, Any]) -> None:
    payload = rest | {"entity_id": "a/b", "properties": rest}
    assert parsed(payload=payload).payload() == payload


@pytest.mark.parametrize(
    "payload",
    [{}, {"entity_id": None}, {"properties": None}, {"entity_id": None, "properties": None}, {"n": 1}],
)
def test_payload_without_entity_or_properties_is_accepted_and_kept(payload: dict[str, Any]) -> None:
    event = parsed(payload=payload)
    assert (event.entity_id, event.properties) == (None, None)
    assert event.payload() == payload


@pytest.mark.parametrize("stream", ["a", "0", "a.b", "sensors.room1.7", "a" * 255, "a.b" * 85])
def test_stream_of_lower_case_letters_digits_and_single_dots_is_accepted(stream: str) -> None:
    assert parsed(stream=stream).stream == stream


@pytest.mark.parametrize(
    "stream",
    [
        *("", None, MISSING, 1, True, ["a"], {"a": 1}),
        *(".", ".a", "a.", "a..b", "A", "a.B", "a-b", "a_b", "a b", " a", "a\n", "ä", "\u0663", "a/b"),
        "a" * 256,
    ],
)
def test_stream_outside_the_grammar_is_refused(stream: object) -> None:
    error = refusal(stream=stream)
    assert error.status == 400
    assert "stream" in error.message


@given(st.text(st.sampled_from("aZ9.-\n"), max_size=6))
@many
def test_stream_grammar_is_exactly_that_of_the_contract(stream: str) -> None:
    allowed = bool(stream) and all(
        part and all(char.islower() or char.isdigit() for char in part) for part in stream.split(".")
    )
    if allowed:
        assert parsed(stream=stream).stream == stream
    else:
        refusal(stream=stream)


@pytest.mark.parametrize("source", ["p", "any Text – ü\n", "s" * 255, "ü" * 255])
def test_source_is_any_text_up_to_255_characters(source: str) -> None:
    assert parsed(source=source).source == source


@pytest.mark.parametrize("source", ["", None, MISSING, 1, False, ["p"], "s" * 256])
def test_source_that_is_missing_or_no_text_or_too_long_is_refused(source: object) -> None:
    error = refusal(source=source)
    assert error.status == 400
    assert "source" in error.message


@pytest.mark.parametrize("payload", [None, MISSING, "", "x", 1, True, [], [{}]])
def test_payload_that_is_no_object_is_refused(payload: object) -> None:
    error = refusal(payload=payload)
    assert error.status == 400
    assert "payload" in error.message


@pytest.mark.parametrize("properties", ["", "x", 0, False, [], [{}]])
def test_properties_of_a_wrong_type_are_refused(properties: object) -> None:
    error = refusal(payload={"entity_id": "a/b", "properties": properties})
    assert error.status == 400
    assert "properties" in error.message


@pytest.mark.parametrize("entity_id", ["", 1, False, [], {}, "a\nb", "x" * 513])
def test_entity_id_that_is_wrong_is_refused_with_or_without_properties(entity_id: object) -> None:
    assert refusal(payload={"entity_id": entity_id, "properties": {}}).status == 400
    assert refusal(payload={"entity_id": entity_id}).status == 400


@pytest.mark.parametrize("entity_id", ["flux-core", "flux-core/directory", "flux-core2/x", "flux-corelia"])
def test_names_of_the_server_are_forbidden_to_clients(entity_id: str) -> None:
    assert refusal(payload={"entity_id": entity_id}).status == 403
    envelope = Envelope("s", "p", {"entity_id": entity_id})
    assert parse_event(envelope, NOW_MS, "i", core_allowed=True).entity_id == entity_id


@pytest.mark.parametrize("missing", [MISSING, None, ""])
def test_optional_fields_that_are_empty_or_null_count_as_missing(missing: object) -> None:
    event = parsed(eventId=missing, timestamp=missing, key=missing, schema=missing)
    assert (event.event_id, event.named_by_client) == ("new-id", False)
    assert event.timestamp_ms == NOW_MS
    assert (event.key, event.schema) == (None, None)


@pytest.mark.parametrize("name", ["eventId", "key", "schema"])
@pytest.mark.parametrize("value", [0, 1, False, 1.5, [], {}])
def test_optional_texts_of_another_type_are_refused(name: str, value: object) -> None:
    error = refusal(**{name: value})
    assert error.status == 400
    assert name in error.message


def test_event_id_has_up_to_128_characters_of_any_kind() -> None:
    for event_id in ("i" * 128, "ü" * 128, "\0\n ~", "0"):
        event = parsed(eventId=event_id)
        assert (event.event_id, event.named_by_client) == (event_id, True)
    assert refusal(eventId="i" * 129).status == 400


@pytest.mark.parametrize("timestamp", [1, 1_700_000_000_000, (1 << 64) - 1])
def test_timestamp_of_epoch_milliseconds_is_kept(timestamp: int) -> None:
    assert parsed(timestamp=timestamp).timestamp_ms == timestamp


@pytest.mark.parametrize("timestamp", [0, -1, True, False, 1.0, 1e12, "1700000000000", [], {}, 1 << 64])
def test_timestamp_that_is_no_positive_integer_is_refused(timestamp: object) -> None:
    error = refusal(timestamp=timestamp)
    assert error.status == 400
    assert "timestamp" in error.message


def test_unknown_fields_of_the_envelope_are_ignored() -> None:
    assert parsed(colour="red", event_id="not-the-name", namedByClient=True) == parsed()


@given(json_objects, st.sampled_from([True, False, None, 1, "true", MISSING]))
@few
def test_event_deletes_only_with_a_true_tombstone(others: dict[str, Any], flag: object) -> None:
    properties = others if flag is MISSING else others | {"__deleted__": flag}
    assert parsed(payload={"entity_id": "a", "properties": properties}).deletes is (flag is True)


def test_tombstone_and_server_events_cannot_be_taken_for_a_clients_retry() -> None:
    deletion = tombstone("a/b", "id", 7, "api")
    assert deletion.deletes
    assert not deletion.named_by_client
    assert (deletion.entity_id, deletion.timestamp_ms, deletion.source) == ("a/b", 7, "api")
    made = server_event("a/b", {"n": 1}, "id", 7, "api", "s")
    assert (made.properties, made.named_by_client, made.deletes) == ({"n": 1}, False, False)


def test_envelope_takes_the_last_of_duplicate_keys() -> None:
    body = b'{"stream":"a","stream":"b","source":"p","payload":{"properties":{"n":1,"n":2}}}'
    event = parse_event(msgspec.convert(parse_json(body), Envelope), NOW_MS, "i")
    assert event == parse_event(msgspec.json.decode(body, type=Envelope), NOW_MS, "i")
    assert (event.stream, event.properties) == ("b", {"n": 2})


@pytest.mark.parametrize("name", ["cause", "control", "handled", "order", "told", "remind", "reminder"])
def test_client_cannot_say_what_behaviours_say(name: str) -> None:
    """What makes entities act stands in terms, and of those a client's payload makes only its own."""
    payload = {"entity_id": "home/lamp", "properties": {"on": True}, name: {"a": 1}, "terms": {name: 1}}
    envelope = Envelope(stream="s", source="me", payload=payload)
    event = parse_event(envelope, 1, "id")
    assert terms_in(event) is None
