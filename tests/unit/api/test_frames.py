"""Frames: the JSON that watching clients know."""

from __future__ import annotations

import json

from flux_api.frames import frames_of, message
from tests.unit.api.standing import change

TIME = "1970-01-01T00:00:01.500000+00:00"


def test_a_change_is_one_frame_per_property_in_its_order():
    frames = frames_of(change("n/e", {"b": [1, None], "a": {"x": 2**64 - 1}}, clock_us=1_500_000))
    assert [json.loads(frame) for frame in frames] == [
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
    (frame,) = frames_of(change("n/e", {"a": None}))
    assert json.loads(frame)["value"] is None


def test_a_deletion_is_one_frame():
    (frame,) = frames_of(change("n/e", None, clock_us=1_500_000))
    assert json.loads(frame) == {"type": "entity_deleted", "entity_id": "n/e", "timestamp": TIME}


def test_a_message_holds_its_fields():
    assert json.loads(message(type="error", error="ü")) == {"type": "error", "error": "ü"}
