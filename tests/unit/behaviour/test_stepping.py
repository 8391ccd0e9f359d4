from __future__ import annotations

import asyncio

import pytest

from flux_actors.behaviour.stepping import Steps
from flux_actors.behaviour.watchdog import Overran, Watchdog


async def test_coroutine_returns_and_raises_as_if_it_were_awaited(watchdog: Watchdog) -> None:
    async def work(*, fail: bool) -> int:
        await asyncio.sleep(0)
        found = await asyncio.gather(asyncio.sleep(0.001, 1), asyncio.sleep(0, 2))
        if fail:
            raise LookupError("gone")
        return sum(found)

    assert await Steps(watchdog.guard(), 1.0, work(fail=False)) == 3
    with pytest.raises(LookupError, match="gone"):
        await Steps(watchdog.guard(), 1.0, work(fail=True))


async def test_timeouts_inside_work_as_ever(watchdog: Watchdog) -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    assert await Steps(watchdog.guard(), 1.0, work()) == "late"


async def test_step_that_takes_too_long_ends_the_coroutine(watchdog: Watchdog) -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(0)
            while True:
                pass
        finally:
            said.append("closed")

    with pytest.raises(Overran):
        await Steps(watchdog.guard(), 0.01, work())
    assert said == ["closed"]


async def test_overrun_that_is_caught_does_not_keep_the_coroutine(watchdog: Watchdog) -> None:
    async def work() -> None:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001, S110 - a coroutine that will not go
            pass
        await asyncio.Event().wait()

    with pytest.raises(Overran):
        await Steps(watchdog.guard(), 0.01, work())


async def test_cancellation_reaches_the_coroutine_which_may_go_on(watchdog: Watchdog) -> None:
    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return "went on"
        return "never"

    async def steps() -> object:
        return await Steps(watchdog.guard(), 1.0, work())

    task = asyncio.create_task(steps())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "went on"


async def test_cancellation_of_what_was_given_up_does_not(watchdog: Watchdog) -> None:
    async def work() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    async def steps() -> object:
        return await Steps(watchdog.guard(), 1.0, work(), lambda: True)

    task = asyncio.create_task(steps())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
