"""Losses: what became of whom, and what the log knows of it, asked once."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.errors import Unavailable
from flux_api.watching.ground import Recall, end_of
from flux_api.watching.losses import Loss
from tests.unit.api.standing import change, row
from tests.unit.api.watching.fake_ground import FakeGround

ROWS = [row("a/1", {"v": 1}), row("a/2", None), row("b/1", {"v": 2})]


@pytest.fixture
def ground():
    return FakeGround([], sequence=5)


def test_a_pattern_finds_its_rows(ground):
    loss = Loss(ground, 0, ROWS)
    assert loss.rows("*") == ROWS
    assert loss.rows("a/*") == loss.rows("a/*") == ROWS[:2]
    assert loss.rows("b/1") == ROWS[2:]
    assert loss.rows("b/2") == []


async def test_what_happened_is_asked_for_once_from_where_the_feed_was(ground, monkeypatch):
    asked = []

    async def recall(*arguments):
        asked.append(arguments)
        await asyncio.sleep(0)
        return Recall(end_of(9), [change("a/1", {"v": 1}, 7)])

    monkeypatch.setattr(ground, "recall", recall)
    loss = Loss(ground, 0, ROWS)
    ground.place_now = 9
    first, second = await asyncio.gather(loss.recall(), loss.recall())
    assert first is second
    assert asked == [("*", 0, end_of(5))]


async def test_who_gives_up_does_not_take_it_from_others(ground, monkeypatch):
    gate = asyncio.Event()

    async def recall(*_):
        await gate.wait()
        return Recall(end_of(9), [])

    monkeypatch.setattr(ground, "recall", recall)
    loss = Loss(ground, 0, ROWS)
    first, second = (asyncio.create_task(loss.recall()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == Recall(end_of(9), [])


async def test_nobody_waits_for_it_for_ever(ground, monkeypatch):
    monkeypatch.setattr("flux_actors.feed.patience._RETRY_S", (0.0, 0.0))

    async def recall(*_):
        raise Unavailable("away")

    monkeypatch.setattr(ground, "recall", recall)
    assert await Loss(ground, 0, ROWS).recall() is None
