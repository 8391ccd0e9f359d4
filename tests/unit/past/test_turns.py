"""Turns: so many at once, so many waiting, and one that is given up makes room."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.past.turns import Turns


async def test_so_many_have_a_turn_and_so_many_wait():
    turns, inside, going = Turns(2, 1), [], asyncio.Event()

    async def take(number):
        async with turns.turn():
            inside.append(number)
            await going.wait()

    tasks = [asyncio.create_task(take(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert inside == [0, 1]
    with pytest.raises(Unavailable, match="too many"):
        await take(3)
    tasks[2].cancel()
    await asyncio.sleep(0)
    waiting = asyncio.create_task(take(4))
    await asyncio.sleep(0)
    going.set()
    await asyncio.gather(*tasks[:2], waiting)
    assert inside == [0, 1, 4]


async def test_a_turn_that_fails_is_given_back():
    turns = Turns(1, 0)
    for _ in range(2):
        with pytest.raises(ValueError, match="mine"):
            async with turns.turn():
                raise ValueError("mine")
    async with turns.turn():
        pass


async def test_the_place_of_one_that_was_given_up_stays_taken_for_a_while(monkeypatch):
    monkeypatch.setattr(limits, "past_pause_s", 0.05)
    turns, began = Turns(1, 1), asyncio.get_running_loop().time()

    async def take():
        async with turns.turn():
            await asyncio.sleep(10)

    task = asyncio.create_task(take())
    await asyncio.sleep(0)
    task.cancel()
    async with turns.turn():
        assert asyncio.get_running_loop().time() - began >= 0.045
