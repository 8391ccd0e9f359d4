"""Reads find an entity wherever it is, and leave it there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.event import Event
from flux_actors.domain.fold import PartitionState
from flux_actors.log.block import Block
from flux_actors.shard import reading
from flux_actors.shard.cold_index import ColdIndex
from flux_actors.shard.index import IdIndex
from flux_actors.shard.reading import changed_from, positions, readings
from tests.unit.domain.strategies import few, logs, numbered
from tests.unit.shard.cooling import cool, cooling_state

FOREVER_US = 1 << 62
NAMES = ("a/1", "a/2", "b/1", "plain", "never")


@pytest.fixture(autouse=True)
def _one_leaves_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "passivation_batch", 1)


def block(number: int, **updates: dict[str, Any]) -> tuple[int, Block]:
    events = [Event(name, update, "i", False, "s", "t", 1) for name, update in updates.items()]
    return number, Block(1, number, number, list(events))


def listed(index: IdIndex | ColdIndex, prefix: str, ids_max: int) -> list[EntityRow]:
    index.refresh()
    rows: list[EntityRow] = []
    after: str | None = None
    while True:
        found, after = index.living(prefix, after, ids_max)
        rows += [EntityRow(one.entity_id, one.properties, one.position, one.updated_us) for one in found]
        if after is None:
            return rows


@given(logs, st.data())
@few
def test_what_is_read_is_the_same_wherever_entities_are(log: list[Block], data: st.DataObject) -> None:
    plain = PartitionState(0)
    state, passivator = cooling_state()
    for one in numbered(log):
        plain.apply([one])
        state.apply([one])
        cool(passivator, data.draw(st.integers(0, 2)))
    hot = set(state.entities)
    assert readings(state, NAMES) == readings(plain, NAMES)
    for name in NAMES:
        assert positions(state, name, 0, FOREVER_US, 9) == positions(plain, name, 0, FOREVER_US, 9)
    for first in (0, 1 << 12, 3 << 12, 9 << 12):
        changed = asyncio.run(changed_from(state, first))
        assert sorted(changed, key=_id) == sorted(asyncio.run(changed_from(plain, first)), key=_id)
    assert state.cold is not None
    for prefix in ("", "a/", "z", "pl"):
        for ids_max in (1, 2, 9):
            expected = listed(IdIndex(plain), prefix, ids_max)
            assert listed(ColdIndex(state, state.cold), prefix, ids_max) == expected
    assert set(state.entities) == hot


def _id(row: EntityRow) -> str:
    return row.entity_id


def test_page_of_large_cold_entities_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    state, passivator = cooling_state()
    state.apply([block(1, **{f"n/{index}": {"text": "x" * 900} for index in range(6)})])
    cool(passivator)
    monkeypatch.setattr(limits, "run_bytes", 1_500)
    assert state.cold is not None
    index = ColdIndex(state, state.cold)
    found, after = index.living("n/", None, 100)
    assert ([one.entity_id for one in found], after) == (["n/0", "n/1"], "n/1")
    assert len(listed(index, "n/", 100)) == 6


def test_rows_that_nobody_reads_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    state, passivator = cooling_state()
    state.apply([block(1, a={"n": 1}, b={"n": 1})])
    cool(passivator)
    monkeypatch.setattr("flux_actors.shard.cold_entities._decode_row", None)
    assert state.cold is not None
    found, _ = ColdIndex(state, state.cold).living("", None, 9)
    assert [one.entity_id for one in found] == ["a", "b"]


async def test_what_changed_is_told_as_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ROWS_A_STEP", 1)
    state, passivator = cooling_state()
    state.apply([block(1, a={"n": 1}, b={"n": 1}, c={"n": 1}, d={"n": 1})])
    state.apply([block(2, b={"n": 2}, c={"n": 2}, d={"n": 2})])
    cool(passivator, 3)
    (hot,) = state.entities
    told = asyncio.create_task(changed_from(state, 2 << 12))
    for number in range(3, 9):
        await asyncio.sleep(0)
        state.apply([block(number, **{name: {"n": number} for name in "abcde"})])
        cool(passivator, 1)
    rows = {row.entity_id: row.properties for row in await told}
    assert hot in {"b", "c", "d"}
    assert rows == {"b": {"n": 2}, "c": {"n": 2}, "d": {"n": 2}}


async def test_cold_entities_are_not_looked_through_when_none_changed_so_late() -> None:
    state, passivator = cooling_state()
    state.apply([block(1, a={"n": 1})])
    cool(passivator)
    state.apply([block(2, b={"n": 2})])
    passivator.walk = None  # type: ignore[assignment, method-assign]
    assert [row.entity_id for row in await changed_from(state, 2 << 12)] == ["b"]
