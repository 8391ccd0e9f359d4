"""The gate of reads: how many at once, by their bytes, in order, and none forgotten."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.log.read_gate import ReadGate
from tests.unit.log.virtual_clock import settled


async def inside(gate: ReadGate, count: int) -> list[asyncio.Task[None]]:
    """Have `count` reads ask for a place; return them, settled."""
    tasks = [asyncio.create_task(gate.enter()) for _ in range(count)]
    await settled()
    return tasks


def entered(tasks: list[asyncio.Task[None]]) -> int:
    return sum(task.done() and not task.cancelled() for task in tasks)


async def let_go(gate: ReadGate, tasks: list[asyncio.Task[None]]) -> None:
    """Have those that wait give up and those that entered leave."""
    for task in tasks:
        task.cancel()
    await settled()
    for _ in range(entered(tasks)):
        gate.leave()


async def test_before_a_block_was_seen_it_expects_the_largest_of_a_client() -> None:
    gate = ReadGate()
    tasks = await inside(gate, 100)
    assert entered(tasks) == limits.read_bytes_max // limits.body_single_bytes
    await let_go(gate, tasks)


@pytest.mark.parametrize(
    ("size", "count"), [(1, 64), (64 << 10, 64), (512 << 10, 16), (8 << 20, 1), (16 << 20, 1)]
)
async def test_it_lets_in_what_fits_by_the_size_of_those_seen(size: int, count: int) -> None:
    gate = ReadGate()
    for _ in range(200):
        gate.saw(size)
    tasks = await inside(gate, 100)
    assert entered(tasks) == count
    await let_go(gate, tasks)


async def test_one_large_block_is_remembered_for_a_while() -> None:
    gate = ReadGate()
    gate.saw(8 << 20)
    for small_blocks, count in ((0, 1), (7, 2), (60, 64)):
        for _ in range(small_blocks):
            gate.saw(1 << 10)
        tasks = await inside(gate, 100)
        assert entered(tasks) == count
        await let_go(gate, tasks)


async def test_who_waits_enters_in_the_order_of_asking() -> None:
    gate = ReadGate()
    gate.saw(8 << 20)
    order: list[int] = []

    async def read(number: int) -> None:
        await gate.enter()
        order.append(number)
        await asyncio.sleep(0)
        gate.leave()

    await asyncio.gather(*map(read, range(20)))
    assert order == list(range(20))


async def test_nobody_overtakes_who_waits_when_blocks_turn_out_small() -> None:
    gate = ReadGate()
    gate.saw(8 << 20)
    tasks = await inside(gate, 3)
    for _ in range(100):
        gate.saw(1)
    (late,) = await inside(gate, 1)
    assert (entered(tasks), entered([late])) == (1, 0)
    gate.leave()
    await settled()
    assert entered([*tasks, late]) == 4
    await let_go(gate, [*tasks[1:], late])


@given(st.lists(st.sampled_from(["enter", "leave", "cancel", "small", "large"]), max_size=60))
async def test_no_place_is_lost_whoever_gives_up(steps: list[str]) -> None:
    gate = ReadGate()
    tasks: list[asyncio.Task[None]] = []
    for step in steps:
        holding = [task for task in tasks if entered([task])]
        match step:
            case "enter":
                tasks.append(asyncio.create_task(gate.enter()))
                await asyncio.sleep(0)
            case "leave" if holding:
                tasks.remove(holding[0])
                gate.leave()
            case "cancel" if tasks:
                tasks[-1].cancel()  # of one that got its place in this very moment too
            case "small" | "large":
                gate.saw(1 << 10 if step == "small" else 9 << 20)
    await let_go(gate, tasks)
    gate.saw(64 << 20)
    alone = await inside(gate, 2)
    assert entered(alone) == 1
    gate.leave()
    await settled()
    assert entered(alone) == 2
