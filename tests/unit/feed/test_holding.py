"""What is held until a base is in: everything that the base does not have in it, in order, bounded."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.feed.holding import Held, Holding, Total


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(limits, "held_few", 0)


def held(entity_id, position, partition=0, frames=b"x"):
    return Held(entity_id, partition, position, frames)


def left(holding):
    return [(one.entity_id, one.position) for one in holding.held]


def test_without_a_base_everything_waits():
    holding = Holding()
    for one in (held("a", 1), held("b", 2), held("a", 3)):
        holding.put(one)
    assert left(holding) == [("a", 1), ("b", 2), ("a", 3)]


def test_a_part_drops_what_it_has_in_it_and_what_later_parts_will_have():
    holding = Holding()
    for position, entity_id in enumerate(["a", "b", "c", "d", "a", "c"], 1):
        holding.put(held(entity_id, position))
    holding.cover(0, "b", 3)
    assert left(holding) == [("d", 4), ("a", 5), ("c", 6)]
    holding.cover(0, None, 5)
    assert [(one.entity_id, one.position) for one in holding.take(1_000)] == [("a", 5), ("c", 6)]


def test_a_later_part_says_nothing_of_ids_before_it():
    holding = Holding()
    holding.cover(0, "b", 3)
    for position, entity_id in enumerate(["a", "c", "b", "d"], 5):
        holding.put(held(entity_id, position))
    holding.cover(0, None, 9)
    assert left(holding) == [("a", 5), ("b", 7)]


def test_what_comes_late_is_dropped_as_well():
    holding = Holding()
    holding.cover(0, "b", 3)
    holding.cover(0, None, 9)
    for one in (held("a", 3), held("a", 4), held("b", 3), held("c", 9), held("c", 10), held("z", 9)):
        holding.put(one)
    assert left(holding) == [("a", 4), ("c", 10)]


def test_partitions_are_apart():
    holding = Holding()
    holding.put(held("a", 1))
    holding.put(held("a", 1, partition=1))
    holding.cover(1, None, 5)
    holding.put(held("b", 2, partition=2))
    assert [(one.partition, one.position) for one in holding.held] == [(0, 1), (2, 2)]
    assert holding.reaches == {1: 5}


def test_another_base_begins_without_the_parts_of_the_first():
    holding = Holding()
    holding.cover(0, None, 3)
    holding.put(held("a", 4))
    holding.uncover()
    holding.put(held("b", 2))
    assert (left(holding), holding.reaches) == ([("a", 4), ("b", 2)], {})
    holding.cover(0, "a", 5)
    assert left(holding) == []


def test_it_is_let_out_in_slices():
    holding = Holding()
    for position in range(5):
        holding.put(held("a", position, frames=b"1234"))
    assert [one.position for one in holding.take(8)] == [0, 1]
    assert [one.position for one in holding.take(1)] == [2]
    holding.clear()
    assert (holding.held, holding.size) == ([], 0)


def test_few_are_looked_through_only_when_they_are_let_out(monkeypatch):
    monkeypatch.setattr(limits, "held_few", 3)
    holding = Holding()
    for position, entity_id in enumerate(["a", "b", "a"], 1):
        holding.put(held(entity_id, position))
    holding.cover(0, None, 2)
    assert len(holding.held) == 3
    assert [one.position for one in holding.take(1)] == [3]


def test_what_a_part_came_to_is_released_and_the_rest_waits():
    holding = Holding()
    for position, entity_id in enumerate(["a", "b", "c", "a"], 1):
        holding.put(held(entity_id, position))
    holding.put(held("a", 9, partition=1))
    holding.cover(0, "b", 1)
    assert [(one.entity_id, one.position) for one in holding.release(0)] == [("b", 2), ("a", 4)]
    assert holding.release(1) == []
    assert [(one.entity_id, one.position) for one in holding.held] == [("c", 3), ("a", 9)]
    assert [holding.covers(held(one, 1)) for one in ("a", "b", "c")] == [True, True, False]


def test_it_is_full_by_number_by_bytes_and_with_all_others(monkeypatch):
    monkeypatch.setattr(limits, "held_changes_max", 2)
    monkeypatch.setattr(limits, "held_bytes_max", 1_000)
    monkeypatch.setattr(limits, "all_held_bytes_max", 1_500)
    many, large = Holding(), Holding()
    for position in range(3):
        assert not many.full
        many.put(held("a", position))
    assert many.full
    large.put(held("a", 1, frames=bytes(1_001)))
    assert large.full
    total = Total()
    first, second = Holding(total), Holding(total)
    first.put(held("a", 1, frames=bytes(800)))
    second.put(held("a", 1, frames=bytes(800)))
    assert second.full
    first.clear()
    assert not second.full
    second.clear()
    assert total.size == 0


@pytest.mark.parametrize("entity_id", ["a", "\U0010ffff" * 128])
def test_a_last_part_has_every_id_in_it(entity_id):
    holding = Holding()
    holding.cover(0, None, 5)
    holding.put(held(entity_id, 5))
    assert holding.held == []
