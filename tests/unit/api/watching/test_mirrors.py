"""Mirrors: filled without a gap, moved by each change, bounded, and dropped when nobody looks."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_api.watching.mirrors import Mirror, Move, Room
from tests.unit.api.standing import change, row, settle, until
from tests.unit.api.watching.fake_ground import FakeGround


@pytest.fixture
def ground():
    return FakeGround([row("a/1", {"v": 1}, 3), row("a/2", {"v": 2}, 5), row("b/1", {"v": 3}, 5)], sequence=5)


@pytest.fixture
def room():
    return Room()


@pytest.fixture
def failed():
    return []


@pytest.fixture
async def mirror(ground, room, failed):
    mirror = Mirror("a/*", ground, room, failed.append)
    yield mirror
    mirror.close()


async def filled(mirror):
    await asyncio.wait_for(mirror.filled(), 5)
    return {one.entity_id: one.properties for one in mirror.rows()}


async def test_it_has_the_entities_of_its_pattern(mirror, room):
    assert not mirror.ready
    assert await filled(mirror) == {"a/1": {"v": 1}, "a/2": {"v": 2}}
    assert mirror.ready
    assert room.entities == 2


async def test_what_comes_while_it_is_filled_is_taken_once(ground, mirror):
    ground.closed = True
    await settle()
    assert mirror.take(0, change("a/1", {"v": 7}, 6)) is None
    assert mirror.take(0, change("a/2", {"v": 1}, 5)) is None  # the rows have it in them
    ground.closed = False
    assert await filled(mirror) == {"a/1": {"v": 7}, "a/2": {"v": 2}}


async def test_it_is_ready_when_the_feed_has_come_to_its_rows(ground, mirror):
    ground.place_now = 4
    await settle()
    assert not mirror.ready
    mirror.take(0, change("a/2", {"v": 2}, 5))
    ground.place_now = 5
    assert await filled(mirror) == {"a/1": {"v": 1}, "a/2": {"v": 2}}


async def test_a_move_has_both_states_and_a_picture_stays_as_it_was(mirror, room):
    await filled(mirror)
    picture = mirror.rows()
    moved = mirror.take(0, change("a/1", {"w": 1}, 6))
    assert [moved.before.properties, moved.after.properties] == [{"v": 1}, {"v": 1, "w": 1}]
    born = mirror.take(0, change("a/3", {"v": 1}, 7))
    assert (born.before, born.after.properties) == (None, {"v": 1})
    gone = mirror.take(0, change("a/1", None, 8))
    assert (gone.before.properties, gone.after) == ({"v": 1, "w": 1}, None)
    assert mirror.take(0, change("a/9", None, 9)) == Move(None, None)
    assert [one.properties for one in picture] == [{"v": 1}, {"v": 2}]
    assert mirror.find("a/1") is None
    assert room.entities == 2


async def test_it_is_filled_anew_when_changes_were_lost(ground, mirror, room):
    await filled(mirror)
    ground.rows = [row("a/2", {"v": 9}, 8)]
    ground.place_now = ground.sequence = 8
    mirror.refill()
    assert not mirror.ready
    assert await filled(mirror) == {"a/2": {"v": 9}}
    assert room.entities == 1


async def test_too_much_while_it_is_filled_makes_it_begin_anew(ground, mirror, monkeypatch):
    monkeypatch.setattr(limits, "held_changes_max", 2)
    ground.closed = True
    await settle()
    for sequence in range(6, 12):
        mirror.take(0, change("a/1", {"v": sequence}, sequence))
    ground.closed = False
    ground.rows = [row("a/1", {"v": 11}, 11)]
    ground.place_now = ground.sequence = 11
    assert await filled(mirror) == {"a/1": {"v": 11}}


@pytest.mark.parametrize(("limit", "most"), [("mirror_entities_max", 1), ("mirror_bytes_max", 10)])
async def test_one_that_is_too_large_fails_and_says_so(mirror, failed, monkeypatch, limit, most):
    monkeypatch.setattr(limits, limit, most)
    await asyncio.wait_for(mirror.filled(), 5)
    assert failed == [mirror]
    assert "watch fewer" in mirror.error.message
    assert mirror.take(0, change("a/1", {"v": 1}, 6)) is None


async def test_one_that_grows_too_large_fails(mirror, failed, monkeypatch):
    await filled(mirror)
    monkeypatch.setattr(limits, "mirror_entities_max", 2)
    mirror.take(0, change("a/3", {"v": 1}, 6))
    mirror.take(0, change("a/4", {"v": 1}, 7))
    assert failed == [mirror]


async def test_the_largest_has_to_go_whoever_asks_for_more(ground, mirror, room, failed, monkeypatch):
    await filled(mirror)
    monkeypatch.setattr(limits, "mirror_entities_max", 2)
    other = Mirror("b/*", ground, room, failed.append)
    assert await filled(other) == {"b/1": {"v": 3}}
    assert failed == [mirror]
    assert mirror.rows() == []
    assert room.entities == 1
    other.close()
    assert room.mirrors == set()


async def test_what_comes_of_entities_that_are_here_waits_for_nothing(ground, mirror, monkeypatch):
    monkeypatch.setattr(limits, "held_changes_max", 0)
    await until(mirror.rows)
    ground.place_now = 4  # it waits for the feed
    for sequence in range(6, 12):
        assert mirror.take(0, change("a/1", {"v": sequence}, sequence)) is None
    ground.place_now = 11
    assert await filled(mirror) == {"a/1": {"v": 11}, "a/2": {"v": 2}}


async def test_a_fault_is_told_too(ground, mirror, failed, lines):
    ground.fault = ValueError("broken")
    await until(lambda: failed)
    assert "could not ask" in mirror.error.message
    assert [line["event"] for line in lines] == ["mirror.failed"]


async def test_a_closed_one_holds_nothing(mirror, room):
    await filled(mirror)
    mirror.close()
    assert (room.entities, room.size) == (0, 0)
