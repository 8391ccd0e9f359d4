from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.change import Change
from flux_actors.domain.clock import us_of
from flux_actors.domain.entity import EntityActor, EntityRow, etag_of, render
from flux_actors.domain.event import DELETED
from flux_actors.domain.position import pack
from tests.unit.domain.strategies import json_objects, many, texts


def received(actor: EntityActor, *runs: dict[str, Any] | None, first: int = 1) -> list[Change | None]:
    """Hand over one run of events, at sequence and clock `first` and up; return each one's change."""
    steps = [
        (pack(number, 0), actor.entity_id, effect_of(properties), number)
        for number, properties in enumerate(runs, first)
    ]
    void: list[int] = []
    lived = actor.lives
    alive = actor.receive(steps, limits.history_positions_max, void)
    assert alive == actor.lives - lived
    return [None if step[2] == {} or step[0] in void else Change(*step) for step in steps]


def effect_of(properties: dict[str, Any] | None) -> dict[str, Any] | None:
    """What an event does to its entity, as the fold tells it to the actor."""
    return None if properties and properties.get(DELETED) is True else properties or {}


@pytest.fixture
def actor() -> EntityActor:
    return EntityActor("a/b", 0)


def test_entity_does_not_live_before_its_first_property(actor: EntityActor) -> None:
    assert not actor.lives
    assert received(actor, {}, None) == [None, None]
    assert not actor.lives


def test_properties_merge_by_top_level_key(actor: EntityActor) -> None:
    received(actor, {"a": 1, "b": {"x": 1, "y": 2}}, {"b": {"z": 3}, "c": None})
    assert actor.properties == {"a": 1, "b": {"z": 3}, "c": None}


def test_deletion_forgets_everything_and_life_begins_anew(actor: EntityActor) -> None:
    received(actor, {"a": 1, "b": 2}, {"__deleted__": True, "c": 3})
    assert not actor.lives
    received(actor, {"a": 9}, first=3)
    assert actor.properties == {"a": 9}


@pytest.mark.parametrize("flag", [False, None, 1, "true", {}])
def test_tombstone_that_is_not_true_is_an_ordinary_property(actor: EntityActor, flag: object) -> None:
    received(actor, {"a": 1}, {"__deleted__": flag})
    assert actor.properties == {"a": 1, "__deleted__": flag}


def test_changes_stand_in_their_slots_with_position_and_clock(actor: EntityActor) -> None:
    changes = received(actor, {"a": 1}, {}, {"__deleted__": True}, {"__deleted__": True})
    assert changes == [
        Change(pack(1, 0), "a/b", {"a": 1}, 1),
        None,
        Change(pack(3, 0), "a/b", None, 3),
        None,
    ]
    assert (actor.position, actor.updated_us) == (pack(3, 0), 3)


def test_event_that_names_no_property_leaves_position_and_time_alone(actor: EntityActor) -> None:
    received(actor, {"a": 1}, {}, None)
    assert (actor.position, actor.updated_us) == (pack(1, 0), 1)


def test_stored_properties_are_not_those_of_the_event(actor: EntityActor) -> None:
    first = {"a": 1}
    changes = received(actor, first, {"a": 2})
    assert first == {"a": 1}
    assert changes[0] == Change(pack(1, 0), "a/b", {"a": 1}, 1)


def test_history_holds_every_event_newest_first(actor: EntityActor) -> None:
    received(actor, {"a": 1}, {}, {"__deleted__": True}, None)
    assert actor.positions(0, 100, 10) == [(pack(number, 0), number) for number in (4, 3, 2, 1)]
    assert actor.positions(0, 100, 2) == [(pack(4, 0), 4), (pack(3, 0), 3)]
    assert actor.positions(0, 100, 0) == []


def test_history_begins_inclusive_and_ends_exclusive(actor: EntityActor) -> None:
    received(actor, *[{"a": 1}] * 5)
    assert [clock_us for _, clock_us in actor.positions(2, 4, 10)] == [3, 2]
    assert actor.positions(6, 9, 10) == []
    assert EntityActor("x", 0).positions(0, 9, 9) == []


def test_history_keeps_the_newest_500_and_stays_bounded(actor: EntityActor) -> None:
    for first in range(1, 2_001, 50):
        received(actor, *[{"a": first}] * 50, first=first)
        last = first + 49
        newest = [(pack(number, 0), number) for number in range(last, max(0, last - 500), -1)]
        assert actor.positions(0, 9_999, limits.history_positions_max) == newest
    assert actor.history is not None
    assert len(actor.history) < 4 * limits.history_positions_max


runs_of_events = st.lists(st.none() | json_objects | st.just({"__deleted__": True}), max_size=6)


@given(events=runs_of_events, history=st.integers(0, 3), as_list=st.booleans())
@many
def test_events_one_by_one_are_the_run_of_them_all(
    *, events: list[dict[str, Any] | None], history: int, as_list: bool
) -> None:
    steps = [(pack(number, 0), "a/b", effect_of(event), number) for number, event in enumerate(events, 1)]
    at_once, one_by_one = EntityActor("a/b", 0), EntityActor("a/b", 0)
    void_at_once: list[int] = []
    void: list[int] = []
    born = at_once.receive(steps, history, void_at_once) if steps else 0
    assert born == sum(one_by_one.receive([step] if as_list else step, history, void) for step in steps)
    assert (one_by_one.row(), void) == (at_once.row(), void_at_once)
    assert one_by_one.positions(0, 99, 99) == at_once.positions(0, 99, 99)


def test_first_event_needs_no_history_of_its_own(actor: EntityActor) -> None:
    actor.receive((pack(1, 0), "a/b", {"a": 1}, 7), 500, [])
    assert (actor.history, actor.positions(0, 9, 9)) == (None, [(pack(1, 0), 7)])
    actor.receive((pack(2, 0), "a/b", {"a": 2}, 8), 500, [])
    assert actor.positions(0, 9, 9) == [(pack(2, 0), 8), (pack(1, 0), 7)]


def test_shorter_history_trims_at_the_next_event(actor: EntityActor) -> None:
    received(actor, *[{"a": 1}] * 9)
    actor.receive((pack(10, 0), "a/b", {"a": 2}, 10), 2, [])
    assert actor.positions(0, 99, 99) == [(pack(10, 0), 10), (pack(9, 0), 9)]
    actor.receive((pack(11, 0), "a/b", {"a": 2}, 11), 0, [])
    assert actor.history is None
    actor.receive((pack(12, 0), "a/b", {"a": 3}, 12), 2, [])
    assert actor.positions(0, 99, 99) == [(pack(12, 0), 12), (pack(11, 0), 11)]


@given(runs_of_events)
@many
def test_actor_from_its_row_is_the_same_actor(runs: list[dict[str, Any] | None]) -> None:
    actor = EntityActor("a/b", 0)
    received(actor, *runs)
    again = EntityActor.from_row(actor.row(), 7)
    assert again.row() == actor.row()
    assert again.reading() == actor.reading()
    assert again.positions(0, 99, 99) == actor.positions(0, 99, 99)
    assert again.cut == 7


@given(texts, json_objects, st.integers(0, 4_000_000_000_000_000))
@many
def test_rendered_entity_is_the_json_of_the_contract(
    entity_id: str, properties: dict[str, Any], clock_us: int
) -> None:
    body = json.loads(render(EntityRow(entity_id, properties, 0, clock_us)))
    assert list(body) == ["id", "properties", "lastUpdated"]
    assert (body["id"], body["properties"]) == (entity_id, properties)
    assert us_of(body["lastUpdated"], "at") == clock_us
    assert body["lastUpdated"].endswith("+00:00")


def test_etag_is_the_quoted_position() -> None:
    assert etag_of(2, pack(7, 3)) == '"2.7.3"'
