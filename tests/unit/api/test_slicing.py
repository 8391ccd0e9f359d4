"""Slicing: the same events as in one go, whatever they hold, and never a slice of a body that is no batch."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.event import Envelope
from flux_actors.errors import Refused
from flux_api import slicing
from flux_api.incoming import read_batch
from flux_api.slicing import slices_of
from tests.unit.api.standing import event
from tests.unit.domain.strategies import few


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch):
    monkeypatch.setattr(limits, "batch_slice_bytes", 200)


@pytest.fixture
def one_go(monkeypatch):
    """Count how often all events had to be found in one go."""
    calls = []
    found = slicing._found_in_one_go  # noqa: SLF001
    monkeypatch.setattr(slicing, "_found_in_one_go", lambda *a: calls.append(a) or found(*a))
    return calls


def plain(values: Any) -> Any:
    """Return events as JSON values, whatever they were read as."""
    return [
        {k: v for k, v in msgspec.structs.asdict(one).items() if v is not None}
        if isinstance(one, Envelope)
        else one
        for one in values
    ]


def events_of(slices: Any) -> list[Any]:
    return [one for some in slices for one in msgspec.json.decode(some.text)]


def sliced(body: bytes) -> list[Any]:
    found = []
    for some in slices_of(body):
        assert some.events
        assert msgspec.json.decode(some.text) == msgspec.json.decode(msgspec.json.encode(plain(some.events)))
        found += some.events
    return found


EVENTS = {
    "plain": event("n/e", {"v": 1}),
    "nested": event("n/e", {"v": [{"a": 1}, {"b": [{"c": {}}, {"d": 2}]}, []]}),
    "braces in strings": event("n/e", {"t": '},{"', "u": "{{[", "w": '\\"},{\\'}),
    "one open brace": event("n/e", {"t": "{"}),
    "text": event("n/e", {"t": "},{ ü \U0001f600 \\ \" ][ , '"}),
    "large": event("n/e", {"t": ["x" * 300, {"a": "y" * 300}, {"b": "z" * 300}]}),
}


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), ("\n,\t", " :\r\n")], ids=repr)
def test_events_are_those_of_one_go(name, wrapped, separators):
    events = [EVENTS[name] | {"source": f"s{number}"} for number in range(40)]
    body = json.dumps({"events": events} if wrapped else events, separators=separators).encode()
    assert plain(sliced(b" \n" + body + b"\n ")) == plain(read_batch(body)) == events


@pytest.mark.parametrize("name", ["plain", "nested", "large"])
def test_usual_events_are_never_looked_for_in_one_go(one_go, name):
    events = [EVENTS[name]] * 40
    assert len(sliced(json.dumps({"events": events}).encode())) == 40
    assert one_go == []


def test_other_fields_beside_the_events_are_no_hindrance():
    events = [EVENTS["plain"]] * 40
    for body in (
        {"a": [{}, {}], "events": events},
        {"events": events, "z": {"events": []}},
        {"events": events, "z": "]}"},
    ):
        assert plain(sliced(json.dumps(body).encode())) == events
    twice = b'{"events":[{}],"events":' + json.dumps(events).encode() + b"}"
    assert plain(sliced(twice)) == plain(read_batch(twice)) == events


def test_what_is_no_event_is_a_slice_of_its_own_kind():
    values = [5, None, "text", [], [{}], {"a": 1}, EVENTS["plain"], 1.5, True] * 20
    assert plain(sliced(json.dumps(values).encode())) == values


@pytest.mark.parametrize(
    "end",
    [
        b"",
        b"]",
        b"]}}",
        b",]}",
        b"]]}",
        b"]}]",
        b'],"z":}',
        b"]} x",
        b'{"a":01}]}',
        b',{"a":"\\x"}]}',
        b'"]}',
    ],
    ids=repr,
)
def test_a_body_that_is_no_json_is_refused_and_says_where(end):
    body = b'{"events":[' + b",".join([json.dumps(EVENTS["nested"]).encode()] * 40) + end
    with pytest.raises(Refused) as expected:
        read_batch(body)
    with pytest.raises(Refused) as caught:
        sliced(body)
    assert caught.value.status == 400
    assert "the body must be valid JSON: " in caught.value.message
    assert "the body must be valid JSON: " in expected.value.message


@pytest.mark.parametrize("body", [{}, {"events": 5}, {"events": None}, 5, "text", {"events": {}}])
def test_what_is_no_batch_is_refused(body):
    with pytest.raises(Refused, match="a batch must be"):
        sliced(json.dumps(body).encode() + b" " * 500)


def test_an_empty_batch_is_refused():
    for body in (b"[]", b'{"events":[ ]}', b"[" + b" " * 999 + b"]"):
        with pytest.raises(Refused, match="at least one event"):
            sliced(body)


def test_a_body_of_what_can_be_no_events_is_refused_before_it_takes_memory(monkeypatch):
    monkeypatch.setattr(limits, "batch_events_max", 6_250)
    slices = slices_of(b"[" + b"0," * 100_000 + b"0]")
    read: list[int] = []
    with pytest.raises(Refused, match="may hold at most 6250 events") as caught:
        read.extend(len(some.events) for some in slices)
    assert caught.value.status == 413
    assert sum(read) <= 6_250
    with pytest.raises(Refused, match="may hold at most 6250 events"):
        sliced(b'{"x":1,"events":[' + b"0," * 6_250 + b"0]}")
    shortest = json.dumps({"stream": "a", "source": "s", "payload": {}}, separators=(",", ":")).encode()
    assert len(sliced(b"[" + b",".join([shortest] * 5_000) + b"]")) == 5_000


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=8)
    | st.sampled_from('{}[],"\\'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, min_size=1, max_size=20), st.integers(1, 120), st.booleans(), st.booleans())
@few
def test_any_json_is_sliced_as_it_is_read(values, slice_bytes, wrapped, spaced):
    separators = (" ,\n", ": ") if spaced else (",", ":")
    body = json.dumps({"events": values} if wrapped else values, separators=separators).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "batch_slice_bytes", slice_bytes)
        found = events_of(slices_of(body))
    assert found == values


@given(st.lists(JSON, min_size=1, max_size=9), st.integers(1, 60), st.data())
@few
def test_a_body_with_a_broken_place_is_refused_in_both_ways_or_in_none(values, slice_bytes, data):
    body = bytearray(json.dumps({"events": values}).encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.sampled_from([b"", b'"', b"}", b"{", b",", b"]"])
    )
    try:
        expected = plain(read_batch(body))
    except Refused:
        expected = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "batch_slice_bytes", slice_bytes)
        try:
            found = events_of(slices_of(body))
        except Refused:
            found = None
    if expected is None:
        assert found is None
    else:
        assert msgspec.json.decode(msgspec.json.encode(expected)) == found or found == expected
