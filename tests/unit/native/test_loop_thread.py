"""The thread with a loop: work from any thread and any loop, until it is closed."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from flux_actors.errors import Unavailable
from flux_actors.native.loop_thread import LoopThread


@pytest.fixture
def thread():
    thread = LoopThread("test")
    yield thread
    thread.close()


async def name():
    return threading.current_thread().name


def test_work_runs_in_it(thread):
    assert thread.run(name()) == "test"


async def test_other_loops_wait_for_it(thread):
    assert await thread.run_async(name()) == "test"


async def test_who_gives_up_ends_the_work(thread):
    begun, ended = threading.Event(), threading.Event()

    async def long():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(thread.run_async(long()))
    assert await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    assert await asyncio.to_thread(ended.wait, 5)


def test_who_waits_no_longer_ends_the_work(thread):
    ended = threading.Event()

    async def long():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        thread.run(long(), 0.01)
    assert ended.wait(5)


async def test_an_error_comes_back_to_other_loops(thread):
    async def fails():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await thread.run_async(fails())


async def test_many_go_in_few_batches(thread, monkeypatch):
    woken, call_soon = [], asyncio.get_running_loop().call_soon_threadsafe
    monkeypatch.setattr(
        asyncio.get_running_loop(),
        "call_soon_threadsafe",
        lambda *call: (woken.append(call), call_soon(*call)),
    )

    async def one(number):
        await asyncio.sleep(0)
        return number

    works = (thread.run_async(one(number)) for number in range(500))
    assert await asyncio.gather(*works) == list(range(500))
    assert 0 < len(woken) < 250


async def test_work_that_nobody_waits_for_is_not_begun(thread):
    held, begun = threading.Event(), []

    async def hold():
        held.wait(5)

    async def one():
        begun.append(1)

    holding = asyncio.create_task(thread.run_async(hold()))
    waiting = asyncio.create_task(thread.run_async(one()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.set()
    await holding
    assert begun == []


def test_a_loop_that_has_ended_is_let_go_of(thread):
    begun, go_on = threading.Event(), threading.Event()

    async def long():
        begun.set()
        await asyncio.to_thread(go_on.wait, 5)

    async def leave():
        task = asyncio.create_task(thread.run_async(long()))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()

    asyncio.run(leave())
    go_on.set()
    assert thread.run(name()) == "test"
    gc.collect()
    assert len(thread._returns) == 0  # noqa: SLF001


async def test_closing_is_told_to_who_waits_in_other_loops(thread):
    begun = threading.Event()

    async def long():
        begun.set()
        await asyncio.Event().wait()

    waiting = asyncio.create_task(thread.run_async(long()))
    assert await asyncio.to_thread(begun.wait, 5)
    await asyncio.to_thread(thread.close)
    with pytest.raises(Unavailable):
        await waiting
    for _ in range(2):
        with pytest.raises(Unavailable):
            await thread.run_async(name())


def test_an_error_comes_back(thread):
    async def fails():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        thread.run(fails())


def test_a_call_from_within_would_wait_for_itself_and_is_refused(thread):
    async def within():
        thread.run(name())

    with pytest.raises(RuntimeError, match="own thread"):
        thread.run(within())


def test_closing_ends_what_runs_and_takes_nothing_new(thread):
    ended = threading.Event()

    async def long():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def begin():
        thread.kept = asyncio.create_task(long())
        await asyncio.sleep(0)

    thread.run(begin())
    thread.close()
    assert ended.is_set()
    with pytest.raises(Unavailable):
        thread.run(name())
    thread.close()
