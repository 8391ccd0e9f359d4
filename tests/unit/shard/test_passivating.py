"""Passivation: whatever leaves memory and returns, the state stays what the log says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.event import Event
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Unavailable
from flux_actors.log.block import Block
from flux_actors.shard.cold import KEY_BYTES_MAX, MemoryColdStore
from flux_actors.shard.passivating import Passivator
from flux_actors.shard.weight import weigh
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from tests.unit.domain.strategies import logs, many, numbered, rows_of, whole
from tests.unit.shard.cooling import cool, cooling_state

LONG_ID = "n/" + "x" * (KEY_BYTES_MAX - 1)


@pytest.fixture(autouse=True)
def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "passivation_batch", 1)
    monkeypatch.setattr(limits, "snapshot_slice_entities", 1)


def block(number: int, **updates: dict[str, Any]) -> tuple[int, Block]:
    events = [Event(name, update, "i", False, "s", "t", 1) for name, update in updates.items()]
    return number, Block(1, number, number, list(events))


def rest_of(cut: Cut) -> list[bytes]:
    return list(iter(cut.next_slice, None))


def part_of(cut: Cut, slices: int) -> list[bytes]:
    return [part for _ in range(slices) if (part := cut.next_slice()) is not None]


def folded(log: list[tuple[int, Block]]) -> PartitionState:
    state = PartitionState(0)
    state.apply(log)
    return state


def test_entity_that_leaves_is_gone_from_memory_and_comes_back_with_its_next_event() -> None:
    state, passivator = cooling_state()
    state.apply([block(1, a={"n": 1}, b={"n": 1})])
    cool(passivator)
    assert (state.entities, passivator.hot, state.known, state.alive) == ({}, 0, 2, 2)
    state.apply([block(2, a={"m": 2})])
    assert state.entities["a"].properties == {"n": 1, "m": 2}
    assert [position for position, _ in state.entities["a"].positions(0, 9, 9)] == [2 << 12, 1 << 12]
    assert (passivator.hot, state.known) == (1, 2)


@given(logs, st.data())
@many
def test_state_is_the_same_whatever_leaves_between_two_pulls(log: list[Block], data: st.DataObject) -> None:
    state, passivator = cooling_state()
    for one in numbered(log):
        state.apply([one])
        cool(passivator, data.draw(st.integers(0, 3)))
        assert passivator.hot == len(state.entities)
    assert whole(state) == whole(folded(numbered(log)))


@given(logs, st.data())
@many
def test_snapshot_is_the_same_whatever_leaves_and_returns_meanwhile(
    log: list[Block], data: st.DataObject
) -> None:
    state, passivator = cooling_state()
    parts: list[bytes] = []
    cut: Cut | None = None
    at = data.draw(st.integers(0, len(log)))
    for number, one in [*numbered(log), (len(log) + 1, None)]:
        if number == at + 1:
            if data.draw(st.booleans()):
                half_way = Cut(state, "log")
                part_of(half_way, data.draw(st.integers(0, 4)))
                cool(passivator, data.draw(st.integers(0, 2)))
                half_way.abandon()
            cut = Cut(state, "log")
        if cut is not None:
            parts += part_of(cut, data.draw(st.integers(0, 3)))
        cool(passivator, data.draw(st.integers(0, 3)))
        if one is not None:
            state.apply([(number, one)])
    assert cut is not None
    parts += rest_of(cut)
    expected = whole(folded(numbered(log[:at])))
    assert whole(read_snapshot(parts)[1]) == expected
    again, _ = cooling_state()
    read_snapshot(parts, again)
    assert whole(again) == expected
    assert again.entities == {}
    assert whole(state) == whole(folded(numbered(log)))
    assert whole(read_snapshot(rest_of(Cut(state, "log")))[1]) == whole(state)


def test_entity_that_changes_while_the_hand_goes_round_is_spared() -> None:
    state, passivator = cooling_state()
    state.apply([block(1, a={"n": 1}, b={"n": 1}, c={"n": 1})])
    cool(passivator, 1)
    assert set(state.entities) == {"b", "c"}
    state.apply([block(2, a={"n": 2}, b={"n": 2})])
    cool(passivator, 1)
    assert set(state.entities) == {"a", "b"}


def test_entity_that_changed_since_the_hands_last_visit_is_spared_in_a_new_round() -> None:
    state, passivator = cooling_state()
    state.apply([block(1, **{name: {"n": 1} for name in "abcde"})])
    cool(passivator, 3)
    assert set(state.entities) == {"d", "e"}
    state.apply([block(2, e={"n": 2})])
    cool(passivator, 1)
    assert set(state.entities) == {"e"}


def test_deleted_entity_leaves_too_and_keeps_its_history() -> None:
    state, passivator = cooling_state()
    state.apply([block(1, a={"n": 1}), block(2, a={"__deleted__": True})])
    cool(passivator)
    assert (state.entities, state.alive, state.known) == ({}, 0, 1)
    state.apply([block(3, a={"m": 3})])
    assert state.entities["a"].properties == {"m": 3}
    assert len(state.entities["a"].positions(0, 9, 9)) == 3


def test_id_that_is_too_long_for_a_key_stays_in_memory() -> None:
    state, passivator = cooling_state()
    state.apply([block(1, a={"n": 1}, **{LONG_ID: {"n": 1}, LONG_ID[:-1]: {"n": 1}})])
    cool(passivator)
    assert set(state.entities) == {LONG_ID}
    assert [row.entity_id for row in rows_of(state)] == ["a", LONG_ID[:-1], LONG_ID]
    again, others = cooling_state()
    read_snapshot(rest_of(Cut(state, "log")), again)
    assert (set(again.entities), others.hot, again.known) == ({LONG_ID}, 1, 3)
    assert whole(again) == whole(state)


def test_store_without_room_leaves_everything_in_memory() -> None:
    state = PartitionState(0)
    store = MemoryColdStore()
    passivator = Passivator(state, store)
    state.apply([block(1, a={"n": 1}, b={"n": 1})])
    store.full = True
    with pytest.raises(Unavailable):
        passivator.settle()
    with pytest.raises(Unavailable):
        cool(passivator)
    assert (set(state.entities), passivator.hot, state.known) == ({"a", "b"}, 2, 2)
    assert [row.entity_id for row in rows_of(state)] == ["a", "b"]
    store.full = False
    cool(passivator)
    assert (state.entities, state.known) == ({}, 2)


def test_snapshot_that_does_not_fit_into_the_store_is_refused() -> None:
    state = PartitionState(0)
    store = MemoryColdStore()
    Passivator(state, store)
    store.full = True
    with pytest.raises(Unavailable):
        state.adopt_rows([EntityRow("a", {"n": 1}, 1, 1)])


def test_estimate_follows_the_hot_entities_as_they_grow_and_leave() -> None:
    state, passivator = cooling_state()
    names = [f"n/{number}" for number in range(200)]
    state.apply([block(1, **{name: {"text": "x" * 100} for name in names})])
    for _ in range(40):
        passivator.settle()
    true = sum(map(weigh, state.entities.values()))
    assert passivator.hot_bytes == pytest.approx(true, rel=0.02)
    state.apply([block(2, **{name: {"text": "x" * 5_000} for name in names[:100]})])
    for _ in range(200):
        passivator.settle()
    assert passivator.hot_bytes == pytest.approx(sum(map(weigh, state.entities.values())), rel=0.1)
    cool(passivator)
    assert passivator.hot_bytes == 0


def test_batch_of_large_entities_is_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "passivation_batch", 100)
    monkeypatch.setattr(limits, "passivation_bytes", 1_000)
    state, passivator = cooling_state()
    state.apply([block(1, **{f"n/{number}": {"text": "x" * 600} for number in range(10)})])
    passivator.evict()
    assert state.known - passivator.hot == 2
