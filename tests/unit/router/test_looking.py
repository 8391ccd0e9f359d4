"""How long a shard may say nothing: by what it and its other thread have said of late."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.router.counting import RouterCounts
from flux_actors.router.looking import Looks
from flux_actors.router.shard_host import ShardGone
from tests.unit.log.virtual_clock import on_virtual_clock


class Shard:
    """A shard that takes its time, and notes how long it is waited for."""

    def __init__(self) -> None:
        self.takes_s = 0.0
        self.waited_s: list[float] = []

    async def status(self, name: str, timeout_s: float) -> list[object]:
        self.waited_s.append(timeout_s)
        if self.takes_s > timeout_s:
            raise TimeoutError
        await asyncio.sleep(self.takes_s)
        return []

    async def reducing_s(self, name: str, timeout_s: float) -> float | None:
        return None


@pytest.fixture
def shard():
    return Shard()


@pytest.fixture
def looks(shard):
    return Looks(shard, RouterCounts())


async def silences(looks: Looks) -> int:
    """Return after how many looks a shard counts as dead."""
    for number in range(1, 20):
        try:
            await looks.look("one")
        except ShardGone:
            return number
    raise AssertionError("it never did")


@on_virtual_clock
async def test_one_that_has_answered_at_once_is_waited_for_shortly(looks, shard):
    for _ in range(8):
        await looks.look("one")
    shard.takes_s = 60.0
    assert await silences(looks) == 3
    assert shard.waited_s == [2.0] * 8 + [0.75] * 3


@on_virtual_clock
async def test_one_that_has_hardly_answered_yet_is_waited_for_longer(looks, shard):
    await looks.look("one")
    shard.takes_s = 60.0
    assert await silences(looks) == 3
    assert shard.waited_s == [2.0] * 4


@on_virtual_clock
async def test_one_that_was_slow_is_waited_for_longer_until_it_is_quick_again(looks, shard):
    for _ in range(8):
        await looks.look("one")
    shard.takes_s = 0.25
    await looks.look("one")
    shard.takes_s = 0.0
    for _ in range(20):
        await looks.look("one")
    await looks.look("one")
    assert shard.waited_s[8] == 0.75
    assert all(1.0 <= waited_s < 1.5 for waited_s in shard.waited_s[9:29])
    assert shard.waited_s[29] == 0.75


@on_virtual_clock
async def test_a_successor_begins_anew(looks, shard):
    for _ in range(8):
        await looks.look("one")
    looks.forget("one")
    await looks.look("one")
    assert shard.waited_s[-1] == 2.0
