"""When a worker's coroutines have the processor; the process itself is shown on a real Flux."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.behaviour.progress import Progress
from flux_actors.behaviour.wire import Results
from flux_actors.behaviour.worker import _marked


async def test_coroutine_is_marked_while_it_has_the_processor() -> None:
    progress, seen, go_on = Progress.make(), [], asyncio.Event()
    progress.unlink()

    async def work() -> Results:
        seen.append(progress.awaited())
        await go_on.wait()
        seen.append(progress.awaited())
        return Results([[]])

    task = asyncio.create_task(_marked(work(), progress, 7))
    await asyncio.sleep(0)
    assert progress.awaited() == 0
    go_on.set()
    assert await task == Results([[]])
    assert (seen, progress.awaited()) == ([7, 7], 0)


async def test_cancelled_coroutine_hears_of_it() -> None:
    progress, heard = Progress.make(), []
    progress.unlink()

    async def work() -> Results:
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            heard.append(progress.awaited())
            raise
        return Results([])

    task = asyncio.create_task(_marked(work(), progress, 7))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (heard, progress.awaited()) == ([7], 0)
