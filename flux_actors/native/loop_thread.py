"""An event loop in a thread of its own: where everything native runs, whoever calls.

Callers come from plain threads and from event loops of their own, which end whenever they like. What they
share (the connection to the log, committers, live copies) needs one loop that stays.

From loop to loop, work and answers go in batches: what comes while the other side has not woken up yet goes
with what is there. Woken for each of them, two threads of one interpreter spend their time on handing it over
(5,000 coroutines at once: 2,500 a second instead of 9,000).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import uvloop

from flux_actors.errors import Unavailable

T = TypeVar("T")
_END_S: Final = 5.0
_LEFT: Final = "this process has left Flux"


class _Errand:
    """Work of a coroutine of another loop, and where its answer goes."""

    __slots__ = ("answer", "home", "task", "work")

    def __init__(self, work: Coroutine[Any, Any, Any], home: _Returns) -> None:
        self.work = work
        self.home = home
        self.answer: asyncio.Future[Any] = home.loop.create_future()
        self.task: asyncio.Task[Any] | None = None

    def begin(self) -> None:
        """Do it, in Flux's thread; unless nobody waits for it any more."""
        if self.answer.cancelled():
            self.work.close()
            return
        self.task = asyncio.get_running_loop().create_task(self.work)
        self.task.add_done_callback(self._done)

    def refuse(self) -> None:
        """Do nothing of it."""
        self.work.close()
        self.home.put(self)

    def cancel(self) -> None:
        """End it, in Flux's thread."""
        if self.task is not None:
            self.task.cancel()

    def finish(self) -> None:
        """Give the answer, in the loop of who waits for it."""
        task = self.task
        if self.answer.done():
            return
        if task is None or task.cancelled():
            self.answer.set_exception(Unavailable(_LEFT))
        elif (error := task.exception()) is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(task.result())

    def _done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # whoever gave up does not hear of it
        self.home.put(self)


class _Returns:
    """Answers on their way to one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ready: deque[_Errand] = deque()
        self._woken = False

    def put(self, errand: _Errand) -> None:
        """Hand an answer over; the loop is woken once for all that come until it runs."""
        self._ready.append(errand)
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # that loop has ended, and who waited with it
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False
        while self._ready:
            self._ready.popleft().finish()


class LoopThread:
    """A thread with a loop, until `close`."""

    def __init__(self, name: str) -> None:
        self._errands: deque[_Errand] = deque()
        self._woken = False
        self._returns: WeakValueDictionary[int, _Returns] = WeakValueDictionary()  # by the id of their loop
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Return what `work` returns, from a thread that may wait.

        Raises:
            Unavailable: the loop has ended. TimeoutError: it took longer than `timeout_s`.
        """
        future = self._submit(work)
        try:
            return future.result(timeout_s)
        except BaseException:  # Ctrl-C, too: nobody waits for it any more
            future.cancel()
            raise

    async def run_async(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, from any event loop; cancelling this cancels it.

        Raises:
            Unavailable: the loop of this thread has ended.
        """
        loop = asyncio.get_running_loop()
        home = self._returns.get(id(loop))
        if home is None:
            home = self._returns[id(loop)] = _Returns(loop)
        errand = _Errand(work, home)
        self._errands.append(errand)
        if not self._woken:
            self._woken = True
            if not self._wake(self._begin):
                self._begin_none()
        try:
            answer: T = await errand.answer
        except asyncio.CancelledError:
            self._wake(errand.cancel)
            raise
        return answer

    def _begin(self) -> None:
        """Begin all that has come."""
        self._woken = False
        while self._errands:
            self._errands.popleft().begin()

    def _begin_none(self) -> None:
        """Refuse all that has come: the loop has ended."""
        self._woken = False
        while self._errands:
            self._errands.popleft().refuse()

    def _wake(self, call: Callable[[], None]) -> bool:
        """Have the loop call something; return whether there still is one."""
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def close(self) -> None:
        """End the loop and the thread; what still runs is cancelled."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_END_S)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a call that waits was made from Flux's own thread, which it would hold up")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop is closed
            work.close()
            raise Unavailable(_LEFT) from None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(_cancel_all())
            self._loop.close()
            self._begin_none()


async def _cancel_all() -> None:
    """End what still runs."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_END_S) if tasks else None
