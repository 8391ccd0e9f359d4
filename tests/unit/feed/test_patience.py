"""Asking again, and giving up when one is told to."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.feed import patience
from flux_actors.feed.patience import patiently


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(patience, "_RETRY_S", (0.0, 0.001))


class Shard:
    """Is away some times, then answers."""

    def __init__(self, away):
        self.away = away
        self.asked = 0

    async def ask(self, number):
        self.asked += 1
        if self.asked <= self.away:
            raise Unavailable("away")
        return number


async def test_it_asks_until_there_is_an_answer():
    shard = Shard(5)
    assert await patiently(shard.ask, 7) == 7
    assert shard.asked == 6


async def test_it_asks_no_more_often_than_it_may():
    shard = Shard(5)
    with pytest.raises(Unavailable):
        await patiently(shard.ask, 7, tries=3)
    assert shard.asked == 3


async def test_a_refusal_is_an_answer():
    async def refuse():
        raise Refused("no")

    with pytest.raises(Refused):
        await patiently(refuse)


async def test_a_cancelled_one_ends_although_its_answer_came_at_the_same_time():
    answer = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(patiently(lambda: asyncio.wait_for(answer, 5)))
    await asyncio.sleep(0)
    answer.set_result(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
