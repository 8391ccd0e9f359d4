"""The loop of a history: time that jumps, processes that stand still and die, the same order each time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulation.loop import Process, SimulatedLoop, Stuck


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    made = SimulatedLoop(1)  # type: ignore[abstract] # as far as it is used
    yield made
    made.discard()


def test_hours_take_no_time(loop: SimulatedLoop) -> None:
    async def wait() -> float:
        await asyncio.sleep(3_600)
        return asyncio.get_running_loop().time()

    assert loop.run(wait()) == 3_600


def test_timers_of_one_moment_go_in_the_order_in_which_they_were_set(loop: SimulatedLoop) -> None:
    order: list[int] = []

    async def set_them() -> None:
        for number in range(50):
            loop.call_at(1.0, order.append, number)
        await asyncio.sleep(2)

    loop.run(set_them())
    assert order == list(range(50))


def test_a_cancelled_timer_does_nothing(loop: SimulatedLoop) -> None:
    heard: list[int] = []

    async def cancel() -> None:
        handles = [loop.call_later(1.0 + number, heard.append, number) for number in range(1_000)]
        for handle in handles[1:]:
            handle.cancel()
        await asyncio.sleep(2_000)

    loop.run(cancel())
    assert heard == [0]


def test_what_waits_for_nothing_is_stuck(loop: SimulatedLoop) -> None:
    with pytest.raises(Stuck, match="everything waits"):
        loop.run(_wait_for(loop.create_future()))


async def _wait_for(future: asyncio.Future[Any]) -> None:
    await future


def test_a_timeout_passes_on_the_simulated_clock(loop: SimulatedLoop) -> None:
    async def wait() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 7.5)
        return loop.time()

    assert loop.run(wait()) == 7.5


def test_a_killed_process_runs_not_even_its_finally(loop: SimulatedLoop) -> None:
    did: list[str] = []

    async def live() -> None:
        try:
            await asyncio.sleep(1)
            did.append("lived")
        finally:
            did.append("cleaned up")

    async def kill() -> None:
        process = Process(loop, "p")
        process.start(live())
        await asyncio.sleep(0.5)
        process.kill()
        await asyncio.sleep(10)

    loop.run(kill())
    assert did == []


def test_a_process_dies_before_the_step_that_was_drawn(loop: SimulatedLoop) -> None:
    steps: list[int] = []

    async def live() -> None:
        for number in range(100):
            steps.append(number)
            await asyncio.sleep(0)

    async def light() -> None:
        process = Process(loop, "p")
        process.start(live())
        loop.light(process, 8)
        await asyncio.sleep(1)
        assert not process.lives

    loop.run(light())
    assert steps == list(range(7))


def test_a_paused_process_gets_what_came_for_it_when_it_goes_on(loop: SimulatedLoop) -> None:
    heard: list[tuple[str, float]] = []

    async def pause() -> None:
        process, other = Process(loop, "p"), Process(loop, "o")
        loop.call_later(1.0, lambda: heard.append(("p", loop.time())), context=process.context)
        loop.call_later(1.0, lambda: heard.append(("o", loop.time())), context=other.context)
        process.pause()
        await asyncio.sleep(5)
        process.resume()
        await asyncio.sleep(1)

    loop.run(pause())
    assert heard == [("o", 1.0), ("p", 5.0)]


def test_work_of_a_thread_takes_a_while_and_dies_with_its_process(loop: SimulatedLoop) -> None:
    did: list[str] = []

    async def live() -> None:
        await asyncio.to_thread(did.append, "first")
        await asyncio.to_thread(did.append, "second")

    async def kill() -> None:
        process = Process(loop, "p")
        process.start(live())
        while not did:  # noqa: ASYNC110 - time that passes here is none
            await asyncio.sleep(0.0001)
        process.kill()
        await asyncio.sleep(1)

    loop.run(kill())
    assert did == ["first"]


def test_work_of_a_thread_is_done_though_nobody_waits_any_more(loop: SimulatedLoop) -> None:
    did: list[str] = []

    async def give_up() -> None:
        work = asyncio.ensure_future(asyncio.to_thread(did.append, "done"))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.sleep(1)

    loop.run(give_up())
    assert did == ["done"]


def test_a_fault_that_nobody_caught_is_kept(loop: SimulatedLoop) -> None:
    async def fail() -> None:
        raise ValueError("oh")

    async def go_on() -> None:
        loop.create_task(fail())
        await asyncio.sleep(1)

    loop.run(go_on())
    assert loop.uncaught() == ["a task failed: ValueError('oh')"]
    loop.discard()


def test_a_fault_at_which_somebody_is_about_to_look_is_none(loop: SimulatedLoop) -> None:
    """A history may end between the end of a task and the turn of who gathers it."""

    async def fail() -> None:
        raise ValueError("oh")

    async def gather() -> None:
        await asyncio.gather(fail(), return_exceptions=True)

    async def end_at_once() -> None:
        loop.create_task(gather())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run(end_at_once())
    assert loop.uncaught() == []
    loop.discard()


def test_sets_of_tasks_are_walked_alike_in_each_run() -> None:
    def numbers() -> list[int]:
        made = SimulatedLoop(1)  # type: ignore[abstract] # as far as it is used

        async def walk() -> list[int]:
            tasks = [made.create_task(asyncio.sleep(0)) for _ in range(100)]
            garbage = [object() for _ in range(1_000)]
            order = [hash(task) for task in set(tasks)]
            await asyncio.gather(*tasks)
            del garbage
            return order

        return made.run(walk())

    assert numbers() == numbers()
