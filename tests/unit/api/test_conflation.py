"""The conflation: whoever was slow ends with the world as it is, and it holds each entity once for all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flux_actors import limits
from flux_api.conflation import Conflation
from flux_api.frames import Renderer, texts_of
from tests.unit.api.standing import change


@pytest.fixture
def conflation():
    return Conflation(Renderer())


def everything(_entity_id):
    return True


def taken(conflation, lag, wants=everything):
    """Return the messages of the next slice, and whether it was the last."""
    frames, caught_up = conflation.slice_for(lag, wants)
    return [json.loads(text) for text in texts_of(frames)], caught_up


def world_after(messages, world):
    """Return what a client believes that keeps every `state_update` and `entity_deleted`."""
    for message in messages:
        match message["type"]:
            case "state_update":
                world.setdefault(message["entity_id"], {})[message["property"]] = message["value"]
            case "entity_deleted":
                world.pop(message["entity_id"], None)
    return world


def test_it_tells_the_newest_value_per_entity_and_property(conflation):
    lag = conflation.fall_behind()
    for number in range(6):
        conflation.put(change(f"n/{number % 2}", {"v": number, f"k{number}": number}))
    (told, *after), caught_up = taken(conflation, lag)
    assert told == {"type": "conflated", "entities": 2}
    assert world_after(after, {}) == {
        "n/0": {"v": 4, "k0": 0, "k2": 2, "k4": 4},
        "n/1": {"v": 5, "k1": 1, "k3": 3, "k5": 5},
    }
    assert sum(update["property"] == "v" for update in after) == 2
    assert caught_up


def test_a_deletion_stands_for_all_before_it(conflation):
    lag = conflation.fall_behind()
    conflation.put(change("n/a", {"v": 1}))
    conflation.put(change("n/a", None, clock_us=1_500_000))
    (told, gone), _ = taken(conflation, lag)
    assert told["entities"] == 1
    assert gone == {
        "type": "entity_deleted",
        "entity_id": "n/a",
        "timestamp": "1970-01-01T00:00:01.500000+00:00",
    }


def test_an_entity_that_was_deleted_and_came_back_has_nothing_of_its_former_life(conflation):
    lag = conflation.fall_behind()
    conflation.put(change("n/a", None))
    conflation.put(change("n/a", {"new": 2}))
    messages, _ = taken(conflation, lag)
    assert world_after(messages, {"n/a": {"old": 1}})["n/a"] == {"new": 2}


def test_one_that_fell_behind_later_is_told_only_what_came_later(conflation):
    early = conflation.fall_behind()
    conflation.put(change("n/a", {"v": 1, "w": 1}))
    conflation.put(change("n/b", {"v": 1}))
    late = conflation.fall_behind()
    conflation.put(change("n/a", {"v": 2}))
    messages, _ = taken(conflation, late)
    assert world_after(messages, {}) == {"n/a": {"v": 2}}
    messages, _ = taken(conflation, early)
    assert world_after(messages, {}) == {"n/a": {"v": 2, "w": 1}, "n/b": {"v": 1}}


def test_only_what_a_socket_wants_is_told_and_counted(conflation):
    lag = conflation.fall_behind()
    for entity_id in ("n/a", "m/a", "n/b"):
        conflation.put(change(entity_id, {"v": 1}))
    (told, *after), caught_up = taken(conflation, lag, lambda entity_id: entity_id.startswith("m/"))
    assert (told["entities"], [update["entity_id"] for update in after], caught_up) == (1, ["m/a"], True)


def test_one_that_wants_nothing_is_sent_nothing(conflation):
    lag = conflation.fall_behind()
    conflation.put(change("n/a", {"v": 1}))
    assert taken(conflation, lag, lambda _: False) == ([], True)


def test_much_is_told_in_slices_oldest_first(conflation, monkeypatch):
    monkeypatch.setattr(limits, "conflated_slice_bytes", 200)
    lag = conflation.fall_behind()
    for number in range(10):
        conflation.put(change(f"n/{number}", {"v": number}))
    told = []
    for _ in range(10):
        messages, caught_up = taken(conflation, lag)
        told += [update["value"] for update in messages[1:]]
        assert len(messages) <= 3  # what it is, and two updates of 125 bytes
        if caught_up:
            break
    assert (told, caught_up) == (list(range(10)), True)


def test_a_slice_looks_at_so_many_entities_and_no_more(conflation, monkeypatch):
    monkeypatch.setattr(limits, "conflated_looks_max", 3)
    lag = conflation.fall_behind()
    looked = []
    for number in range(10):
        conflation.put(change(f"n/{number}", {"v": number}))
    assert taken(conflation, lag, lambda entity_id: bool(looked.append(entity_id))) == ([], False)
    assert looked == ["n/0", "n/1", "n/2"]


def test_it_holds_each_entity_once_however_many_are_slow_and_forgets_what_all_know(conflation):
    lags = [conflation.fall_behind() for _ in range(50)]
    for number in range(300):
        conflation.put(change(f"n/{number % 10}", {"v": number}))
    assert len(conflation) == 10
    for lag in lags[1:]:
        assert taken(conflation, lag)[1]
        conflation.leave(lag)
    assert len(conflation) == 10
    conflation.leave(lags[0])
    assert len(conflation) == 0


def test_one_that_is_always_slow_gets_round_to_every_entity(conflation, monkeypatch):
    """All entities change again between two slices: none of them may wait for ever."""
    monkeypatch.setattr(limits, "conflated_slice_bytes", 1)
    lag, dead = conflation.fall_behind(), conflation.fall_behind()
    told = set()
    for turn in range(60):
        for number in range(20):
            conflation.put(change(f"n/{number}", {"v": turn}))
        messages, _ = taken(conflation, lag)
        told.update(update["entity_id"] for update in messages[1:])
    assert len(told) == 20
    conflation.leave(dead)


CHANGES = st.tuples(
    st.sampled_from(["n/a", "n/b", "n/c"]),
    st.none() | st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9), min_size=1),
)
STEPS = st.lists(CHANGES | st.integers(0, 2), max_size=40)


class Readers:
    """Three readers of the same changes; each keeps up, or is behind and takes a slice at its turn."""

    def __init__(self, conflation):
        self.conflation = conflation
        self.truth: dict[str, Any] = {}
        self.believed: list[dict[str, Any]] = [{}, {}, {}]
        self.lags: list[Any] = [None] * 3

    def put(self, item):
        world_after_change(self.truth, item)
        if any(self.lags):
            self.conflation.put(item)
        for lag, world in zip(self.lags, self.believed, strict=True):
            if lag is None:
                world_after_change(world, item)

    def turn(self, number):
        lag = self.lags[number]
        if lag is None:
            self.lags[number] = self.conflation.fall_behind()
            return
        messages, caught_up = taken(self.conflation, lag)
        world_after(messages, self.believed[number])
        if caught_up:
            assert self.believed[number] == self.truth
            self.conflation.leave(lag)
            self.lags[number] = None

    def catch_up(self):
        for number in range(3):
            while self.lags[number] is not None:
                self.turn(number)


@given(STEPS, st.integers(1, 300))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_however_slow_the_readers_each_ends_with_the_world_as_it_is(steps, slice_bytes):
    """A number is one reader's turn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "conflated_slice_bytes", slice_bytes)
        readers = Readers(Conflation(Renderer()))
        for step in steps:
            if isinstance(step, int):
                readers.turn(step)
            else:
                readers.put(change(*step))
            assert len(readers.conflation) <= 3
        readers.catch_up()
        assert readers.believed == [readers.truth] * 3
        assert len(readers.conflation) == 0


def world_after_change(world, item):
    if item.properties is None:
        world.pop(item.entity_id, None)
    else:
        world[item.entity_id] = world.get(item.entity_id, {}) | item.properties


def test_a_change_that_was_just_taken_is_not_taken_again():
    conflation = Conflation(Renderer())
    lag = conflation.fall_behind()
    one = change("n/e", {"v": 1})
    conflation.put(one)
    conflation.put(one)
    numbers = []
    conflation.slice_shown(lag, lambda entry, floor: numbers.append(entry.number) or b"x")
    assert numbers == [1]


def test_what_is_shown_is_merged_and_has_the_newest_position():
    conflation = Conflation(Renderer())
    conflation.put(change("n/e", {"old": 1}, 1))
    lag = conflation.fall_behind()
    conflation.put(change("n/e", {"v": 1, "w": 1}, 2, 20))
    conflation.put(change("n/e", {"v": 2}, 3, 30))
    merged = []
    conflation.slice_shown(lag, lambda entry, floor: merged.append(entry.merged(floor)) or b"x")
    assert merged == [change("n/e", {"v": 2, "w": 1}, 3, 30)]


def test_what_shows_nothing_is_not_counted():
    conflation = Conflation(Renderer())
    lag = conflation.fall_behind()
    conflation.put(change("n/e", {"v": 1}))
    assert conflation.slice_shown(lag, lambda entry, floor: b"") == (b"", True)
