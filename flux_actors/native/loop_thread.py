"""An event loop in a thread of its own: where everything native runs, whoever calls.

Callers come from plain threads and from event loops of their own, which end whenever they like. What they
share (the connection to the log, committers, live copies) needs one loop that stays.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import uvloop

from flux_actors.errors import Unavailable

T = TypeVar("T")
_END_S: Final = 5.0


class LoopThread:
    """A thread with a loop, until `close`."""

    def __init__(self, name: str) -> None:
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
        """Return what `work` returns, from any event loop; cancelling this cancels it."""
        return await asyncio.wrap_future(self._submit(work))

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
            raise Unavailable("this process has left Flux") from None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(_cancel_all())
            self._loop.close()


async def _cancel_all() -> None:
    """End what still runs."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_END_S) if tasks else None
