from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.event import Event
from flux_actors.domain.fold import PartitionState
from flux_actors.log.block import Block
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from tests.unit.domain.strategies import logs, many, numbered, whole


@pytest.fixture(autouse=True)
def _one_entity_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "snapshot_slice_entities", 1)


def block(number: int, *updates: tuple[str, dict[str, Any]], name: str = "") -> Block:
    events = [Event(entity_id, update, name or "i", bool(name), "s", "t", 1) for entity_id, update in updates]
    return Block(1, number, number, list(events))


def state_of(**entities: dict[str, Any]) -> PartitionState:
    state = PartitionState(0)
    state.apply([(1, block(1, *entities.items()))])
    return state


def rest_of(cut: Cut) -> list[bytes]:
    return list(iter(cut.next_slice, None))


def entities_in(parts: list[bytes]) -> dict[str, dict[str, Any] | None]:
    _, state = read_snapshot(parts)
    return {entity_id: actor.properties for entity_id, actor in state.entities.items()}


@given(logs, st.data())
@many
def test_cut_is_the_state_of_its_moment_whatever_is_applied_meanwhile(
    log: list[Block], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(log)))
    state = PartitionState(0)
    state.apply(numbered(log[:at]))
    expected = whole(read_snapshot(rest_of(Cut(state, "log")))[1])
    cut = Cut(state, "log")
    parts: list[bytes] = []
    for sequence, one in numbered(log[at:], at + 1):
        for _ in range(data.draw(st.integers(0, 3))):
            parts += [part] if (part := cut.next_slice()) is not None else []
        state.apply([(sequence, one)])
    parts += rest_of(cut)
    assert cut.sequence == at
    assert whole(read_snapshot(parts)[1]) == expected
    assert whole(state) == whole(from_start(log))


def from_start(log: list[Block]) -> PartitionState:
    state = PartitionState(0)
    state.apply(numbered(log))
    return state


@pytest.mark.parametrize("slices_before", [0, 1, 2, 3, 4])
def test_entity_that_changes_during_the_cut_is_written_as_it_was(slices_before: int) -> None:
    state = state_of(a={"n": 1}, b={"n": 1})
    cut = Cut(state, "log")
    parts = [part for _ in range(slices_before) if (part := cut.next_slice()) is not None]
    state.apply([(2, block(2, ("a", {"n": 2, "late": True}), ("b", {"n": 2})))])
    assert entities_in([*parts, *rest_of(cut)]) == {"a": {"n": 1}, "b": {"n": 1}}
    assert state.entities["a"].properties == {"n": 2, "late": True}


def test_entity_that_changes_often_during_the_cut_is_written_once() -> None:
    state = state_of(a={"n": 0})
    cut = Cut(state, "log")
    for number in range(2, 6):
        state.apply([(number, block(number, ("a", {"n": number})))])
    assert entities_in(rest_of(cut)) == {"a": {"n": 0}}


def test_entity_that_is_deleted_during_the_cut_is_still_in_it() -> None:
    state = state_of(a={"n": 1})
    cut = Cut(state, "log")
    state.apply([(2, block(2, ("a", {"__deleted__": True})))])
    assert entities_in(rest_of(cut)) == {"a": {"n": 1}}
    assert not state.entities["a"].lives


def test_entity_that_is_born_during_the_cut_is_left_out() -> None:
    state = state_of(a={"n": 1})
    cut = Cut(state, "log")
    state.apply([(2, block(2, ("new", {"n": 1})))])
    state.apply([(3, block(3, ("new", {"n": 2})))])
    assert set(entities_in(rest_of(cut))) == {"a"}
    assert set(entities_in(rest_of(Cut(state, "log")))) == {"a", "new"}


def test_ids_that_come_during_the_cut_are_left_out_even_when_generations_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "dedupe_events_min", 2)
    monkeypatch.setattr(limits, "dedupe_window_s", 0)
    state = PartitionState(0)
    for number in range(1, 4):
        state.apply([(number, block(number, ("ns/a", {"n": number}), name=f"id{number}"))])
    ids = (list(state.window.elder.ids), list(state.window.younger.ids))
    assert ids == (["ns\0id1", "ns\0id2"], ["ns\0id3"])
    cut = Cut(state, "log")
    for number in range(4, 9):
        state.apply([(number, block(number, ("ns/a", {"n": number}), name=f"id{number}"))])
    _, again = read_snapshot(rest_of(cut))
    assert (again.window.elder.ids, again.window.younger.ids) == ids


def test_large_generation_is_written_in_slices() -> None:
    state = PartitionState(0)
    names = [f"id{number}" for number in range(35)]
    for number, name in enumerate(names, 1):
        state.apply([(number, block(number, ("a", {"n": 1}), name=name))])
    parts = rest_of(Cut(state, "log"))
    assert len(parts) >= 4
    assert read_snapshot(parts)[1].window.younger.ids == state.window.younger.ids


def test_cut_that_is_done_gives_nothing_more_and_watches_nothing() -> None:
    state = state_of(a={"n": 1})
    cut = Cut(state, "log")
    assert state.witness is cut
    assert rest_of(cut)
    assert cut.next_slice() is None
    assert state.witness is None


def test_cut_that_was_abandoned_leaves_a_whole_one_to_the_next() -> None:
    state = state_of(a={"n": 1}, b={"n": 1})
    first = Cut(state, "log")
    first.next_slice()
    state.apply([(2, block(2, ("a", {"n": 2})))])
    first.abandon()
    assert state.witness is None
    state.apply([(3, block(3, ("b", {"n": 3})))])
    assert entities_in(rest_of(Cut(state, "log"))) == {"a": {"n": 2}, "b": {"n": 3}}


def test_abandoned_cut_does_not_blind_the_one_after_it() -> None:
    state = state_of(a={"n": 1})
    first = Cut(state, "log")
    second = Cut(state, "log")
    first.abandon()
    assert state.witness is second


def test_cut_of_an_empty_partition_reads_back() -> None:
    parts = rest_of(Cut(PartitionState(5), "log"))
    header, state = read_snapshot(parts)
    assert (header.partition, header.sequence, state.entities) == (5, 0, {})
