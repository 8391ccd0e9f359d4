"""Slow refusals: told late, one at a time, in their order."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from flux_actors import limits
from flux_api.slow_refusals import SlowRefusals
from tests.unit.log.virtual_clock import on_virtual_clock

LEAST_S, MOST_S = limits.refusal_delay_s_range


@on_virtual_clock
async def test_those_that_come_together_are_told_apart_and_in_their_order() -> None:
    loop, told = asyncio.get_running_loop(), []
    refusals, begun_s = SlowRefusals(), loop.time()
    for number in range(8):
        refusals.later(lambda number=number: told.append((loop.time() - begun_s, number)))
    await asyncio.sleep(LEAST_S - 0.001)
    assert told == []
    await asyncio.sleep(1)
    assert [number for _, number in told] == list(range(8))
    assert told[0][0] == pytest.approx(LEAST_S)
    assert all(
        later - earlier >= 0.99 * limits.refusal_apart_s for (earlier, _), (later, _) in pairwise(told)
    )


@on_virtual_clock
async def test_one_who_comes_alone_waits_no_longer_for_those_before() -> None:
    loop, told = asyncio.get_running_loop(), []
    refusals = SlowRefusals()
    for _ in range(5):
        begun_s = loop.time()
        refusals.later(lambda begun_s=begun_s: told.append(loop.time() - begun_s))
        await asyncio.sleep(1)
    assert told == pytest.approx([LEAST_S] * 5)


@on_virtual_clock
async def test_however_many_come_none_waits_without_end() -> None:
    loop, told = asyncio.get_running_loop(), []
    refusals, begun_s = SlowRefusals(), loop.time()
    for _ in range(10_000):
        refusals.later(lambda: told.append(loop.time() - begun_s))
    await asyncio.sleep(1)
    assert len(told) == 10_000
    assert max(told) == pytest.approx(MOST_S)
