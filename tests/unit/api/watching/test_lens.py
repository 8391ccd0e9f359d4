"""Lenses: the same change as updates, as a delta, and through a choice of properties."""

from __future__ import annotations

import json

import pytest

from flux_actors.domain.entity import EntityRow
from flux_api.frames import Renderer, texts_of
from flux_api.watching.lens import Lens, Views
from tests.unit.api.standing import change

PLAIN, DELTA = Lens(), Lens(delta=True)
NOON = 43_200_000_000
NOON_TEXT = "1970-01-01T12:00:00+00:00"


def seen(frames):
    return [json.loads(text) for text in texts_of(frames)]


@pytest.fixture
def views():
    return Views(Renderer())


def test_a_plain_lens_shows_what_everybody_gets(views):
    one = change("a/1", {"v": 1, "w": None}, clock_us=NOON)
    gone = change("a/1", None, clock_us=NOON)
    assert views.change(PLAIN, one, 2) == Renderer().frames_of(one)
    assert views.change(PLAIN, gone, 2) == Renderer().frames_of(gone)


def test_a_delta_is_one_message_with_the_position(views):
    one = change("a/1", {"v": 1, "w": None}, 7, NOON)
    assert seen(views.change(DELTA, one, 2)) == [
        {
            "type": "delta",
            "entity_id": "a/1",
            "properties": {"v": 1, "w": None},
            "position": "2.7.0",
            "timestamp": NOON_TEXT,
        }
    ]


def test_a_deletion_among_deltas_has_its_position(views):
    assert seen(views.change(DELTA, change("a/1", None, 7, NOON), 2)) == [
        {"type": "entity_deleted", "entity_id": "a/1", "timestamp": NOON_TEXT, "position": "2.7.0"}
    ]


@pytest.mark.parametrize("delta", [True, False])
def test_fields_hide_the_others_and_changes_of_nothing_else(views, delta):
    lens = Lens(delta, ("w", "x"))
    (told,) = seen(views.change(lens, change("a/1", {"v": 1, "w": 2}), 0))
    assert told.get("properties", {told.get("property"): told.get("value")}) == {"w": 2}
    assert views.change(lens, change("a/1", {"v": 1}), 0) == b""
    assert views.change(lens, change("a/1", None), 0) != b""


def test_what_several_changes_were_merged_to_says_so(views):
    merged = Lens(delta=True, merged=True)
    for one in (change("a/1", {"v": 1}), change("a/1", None)):
        (told,) = seen(views.change(merged, one, 0))
        assert told["conflated"] is True


def test_a_state_is_the_entity_as_everywhere_and_where_it_stands(views):
    row = EntityRow("a/1", {"v": 1, "w": 2}, 7 << 12, NOON)
    entity = {"id": "a/1", "properties": {"v": 1, "w": 2}, "lastUpdated": NOON_TEXT}
    assert seen(views.state(PLAIN, row, 2)) == [{"type": "state", "entity": entity, "position": "2.7.0"}]
    (some,) = seen(views.state(Lens(fields=("w", "x")), row, 2))
    assert some["entity"]["properties"] == {"w": 2}


def test_what_comes_into_sight_is_told_whole(views):
    row = EntityRow("a/1", {"v": 1, "w": 2}, 7 << 12, NOON)
    (told,) = seen(views.whole(DELTA, row, 2))
    assert (told["type"], told["properties"], told["position"]) == ("delta", {"v": 1, "w": 2}, "2.7.0")
    assert [told["property"] for told in seen(views.whole(PLAIN, row, 2))] == ["v", "w"]


def test_what_is_told_of_a_subscription_itself(views):
    assert seen(views.left("a/1")) == [{"type": "left", "entity_id": "a/1"}]
    assert seen(views.resync("a/*")) == [{"type": "resync", "entity_id": "a/*"}]
    assert seen(views.error(7, "a/*", "too much")) == [
        {"type": "error", "id": 7, "entity_id": "a/*", "error": "too much"}
    ]
