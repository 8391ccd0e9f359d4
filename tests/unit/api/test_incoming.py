"""Reading bodies: the typed way finds what the general way finds, and refuses in the same words."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.event import Envelope, Event, parse_event
from flux_actors.domain.json_text import check_depth, parse_json
from flux_actors.errors import FluxError, Refused
from flux_api.incoming import envelope_of, read_batch, read_event, too_deep
from tests.unit.api.standing import event
from tests.unit.domain.strategies import few, json_objects, json_values

ANY_DEPTH = 1 << 30
NAMES = st.sampled_from(
    ["stream", "source", "payload", "timestamp", "eventId", "key", "schema", "condition", "other"]
)
GOOD = st.builds(
    lambda properties, others: event("n/e", properties, **others),
    json_objects,
    st.dictionaries(NAMES, json_values, max_size=2),
)
BODIES = GOOD | st.dictionaries(NAMES, json_values) | json_values


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def general(value: Any) -> Event | str:
    """What the general way makes of one JSON value: the event, or the words of the refusal."""
    try:
        check_depth(value)
        return parse_event(envelope_of(value), 1, "id")
    except Refused as error:
        return error.message


def typed(body: bytes) -> list[Event | str]:
    """What the door's way makes of a batch."""
    found: list[Event | FluxError] = []
    events = read_batch(body)
    for item in events:
        try:
            if not isinstance(item, Envelope):
                check_depth(item)
            found.append(parse_event(envelope_of(item), 1, "id"))
        except Refused as error:
            found.append(error)
    if isinstance(events[0], Envelope):
        for number, refusal in too_deep(body, found).items():
            found[number] = refusal
    return [item.message if isinstance(item, FluxError) else item for item in found]


@given(st.lists(BODIES, min_size=1, max_size=6), st.booleans())
@few
@example([event("n/e", {"v": nested(126)}), event("n/e", {"v": 1})], True)
@example([event("n/e", {"v": nested(127)}), event("n/e", {"v": 1})], True)
@example([event("n/e", {"v": nested(200)}), event("n/e", {"v": 1}), 5], False)
@example([event("n/e", {"v": 1}) for _ in range(60)] + [event(None) for _ in range(60)], False)
@example([event("n/e", {"v": 1}) | {"ignored": nested(300)}] + [event("n/e", {}) for _ in range(50)], False)
@example([event(None) for _ in range(200)] + [event("n/e", {"v": nested(150)})], False)
@example([event("n/e", {"[{" * 100: "]]"}) for _ in range(3)], False)
def test_a_batch_is_read_as_each_of_its_events_would_be_alone(
    bodies: list[Any],
    bare: bool,  # noqa: FBT001 - so hypothesis calls it
) -> None:
    body = json.dumps(bodies if bare else {"events": bodies}).encode()
    values = json.loads(body)
    assert typed(body) == [general(value) for value in (values if bare else values["events"])]


@given(BODIES)
@few
@example(event("n/e", {"v": nested(125)}))
@example(event("n/e", {"v": nested(126)}))
@example(event("n/e", {"v": 1}) | {"ignored": nested(300)})
def test_one_event_is_read_as_the_general_way_reads_it(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        expected: Any = msgspec.json.encode(envelope_of(parse_json(body)))
    except Refused as error:
        expected = error.message
    try:
        found: Any = msgspec.json.encode(read_event(body))
    except Refused as error:
        found = error.message
    assert found == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1", b"\xff", b'{"a":NaN}', b'{"a":"\\ud800"}', b"[" * 10_000, b"{}{}", b"[" + b"[" * 200],
)
def test_what_is_no_json_is_refused_in_the_words_of_the_general_way(body: bytes) -> None:
    with pytest.raises(Refused) as expected:
        parse_json(body)
    with pytest.raises(Refused) as found:
        read_event(body)
    assert found.value.message == expected.value.message
    with pytest.raises(Refused) as expected:
        parse_json(body, ANY_DEPTH)
    with pytest.raises(Refused) as found:
        read_batch(body)
    assert found.value.message == expected.value.message


@pytest.mark.parametrize("body", [b"{}", b"5", b'"x"', b'{"events": {}}', b'{"events": null}', b"null"])
def test_what_is_no_batch_is_told_what_one_is(body: bytes) -> None:
    with pytest.raises(Refused, match="a batch must be"):
        read_batch(body)


@pytest.mark.parametrize("body", [b"[]", b'{"events": []}'])
def test_a_batch_of_nothing_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="at least one"):
        read_batch(body)


@pytest.mark.parametrize(
    "inner", [b'{"a":1e999}', b'{"a":{"b":"\\ud800"}}', b'{"stream":"s","other":"\xff"}']
)
def test_what_is_ignored_must_be_json_too(inner: bytes) -> None:
    for body in (
        b"[" + inner + b"]",
        b'{"events":[' + inner + b"]}",
        b'{"events":[{}],"other":' + inner + b"}",
    ):
        with pytest.raises(Refused, match="valid JSON"):
            read_batch(body)
    with pytest.raises(Refused, match="valid JSON"):
        read_event(inner)


def test_the_last_of_duplicate_keys_counts() -> None:
    body = b'{"stream":"a","stream":"b","source":"s","payload":{"entity_id":"n/e","entity_id":"n/f"}}'
    found = parse_event(read_event(body), 1, "id")
    assert (found.stream, found.entity_id) == ("b", "n/f")


def test_a_plain_batch_is_not_looked_through_for_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps([event("n/e", {"v": n}) for n in range(500)]).encode()
    assert body.count(b"{") > limits.json_depth_max
    monkeypatch.setattr("flux_api.incoming._decode_raws", None)
    assert all(isinstance(found, Event) for found in typed(body))


@pytest.mark.parametrize("element", [b"1", b"{}", b"[]", b"null"])
def test_a_batch_of_millions_of_nothings_is_refused(element: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "batch_events_max", 1_000)
    for wrap in (b"[%s]", b'{"events":[%s]}'):
        assert len(read_batch(wrap % b",".join([element] * 1_000))) == 1_000
        with pytest.raises(Refused, match="at most 1000 events") as caught:
            read_batch(wrap % b",".join([element] * 1_001))
        assert caught.value.status == 413
