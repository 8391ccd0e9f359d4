"""Frames: the JSON that watching clients know, in WebSocket frames."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from flux_actors.domain.clock import iso_of
from flux_api.frames import Renderer, framed, message, texts_of
from tests.unit.api.standing import change
from tests.unit.domain.strategies import json_objects, many, texts

TIME = "1970-01-01T00:00:01.500000+00:00"


def told(item):
    return [json.loads(text) for text in texts_of(Renderer().frames_of(item))]


def test_a_change_is_one_frame_per_property_in_its_order():
    assert told(change("n/e", {"b": [1, None], "a": {"x": 2**64 - 1}}, clock_us=1_500_000)) == [
        {"type": "state_update", "entity_id": "n/e", "property": "b", "value": [1, None], "timestamp": TIME},
        {
            "type": "state_update",
            "entity_id": "n/e",
            "property": "a",
            "value": {"x": 2**64 - 1},
            "timestamp": TIME,
        },
    ]


def test_a_null_is_a_value():
    (frame,) = told(change("n/e", {"a": None}))
    assert frame["value"] is None


def test_a_deletion_is_one_frame():
    assert told(change("n/e", None, clock_us=1_500_000)) == [
        {"type": "entity_deleted", "entity_id": "n/e", "timestamp": TIME}
    ]


def test_a_message_holds_its_fields():
    assert json.loads(message(type="error", error="ü")) == {"type": "error", "error": "ü"}


class Update(msgspec.Struct, tag="state_update", tag_field="type"):
    """The slow way to make the same text."""

    entity_id: str
    property: str
    value: object
    timestamp: str


@given(texts, st.lists(json_objects, max_size=3), st.lists(st.integers(0, 1 << 50), min_size=3, max_size=3))
@many
def test_rendered_from_pieces_it_is_the_same_text(entity_id, changes, clocks):
    renderer = Renderer()
    for properties, clock_us in zip(changes, clocks, strict=False):
        expected = [
            msgspec.json.encode(Update(entity_id, name, value, iso_of(clock_us)))
            for name, value in properties.items()
        ]
        frames = renderer.frames_of(change(entity_id, properties, clock_us=clock_us))
        assert list(texts_of(frames)) == expected


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 1023, 1024, 65_535, 65_536, 70_000])
def test_a_frame_is_what_the_library_makes_of_the_text(size):
    text = b"x" * size
    assert framed(text) == Frame(Opcode.TEXT, text).serialize(mask=False)
    assert list(texts_of(framed(text) + framed(b"next"))) == [text, b"next"]


@pytest.mark.parametrize("size", [20, 900, 1_000, 70_000])
def test_a_value_of_any_length_has_the_right_head(size):
    (frame,) = told(change("n/e", {"v": "x" * size}))
    assert frame["value"] == "x" * size


def test_no_more_and_no_longer_names_are_remembered_than_the_bound():
    renderer = Renderer(names_max=3)
    for name in ("a", "b", "c", "a", "d", "e" * 65, "ü", "f"):
        (text,) = texts_of(renderer.frames_of(change("n/e", {name: 1})))
        assert json.loads(text)["property"] == name
        assert len(renderer.names) <= 3
    assert set(renderer.names) == {"d", "ü", "f"}
