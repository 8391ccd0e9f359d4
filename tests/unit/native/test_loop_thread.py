"""The thread with a loop: work from any thread and any loop, until it is closed."""

from __future__ import annotations

import asyncio
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
