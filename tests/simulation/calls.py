"""Calls from one part to another: there and back over the network, beside others, in no order.

Who calls a dead process hears of it after a while. Where the way is cut nobody hears anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from tests.simulation.loop import Process
from tests.simulation.network import Network

_NOTICE_S: Final = (0.01, 0.3)  # that a process is dead


class Gone(Exception):
    """Who was called is dead."""


class Callee:
    """A process that answers calls."""

    def __init__(self, network: Network, process: Process) -> None:
        self.process = process
        self._network = network
        self._waiting: dict[asyncio.Future[Any], Process | None] = {}

    async def call(
        self,
        work: Callable[[], Coroutine[Any, Any, Any]],
        caller: Process | None,
        timeout_s: float,
        lost: Callable[[], bool] = lambda: False,
    ) -> Any:
        """Have the process do some work and return what comes of it.

        Raises:
            Gone: it is dead. TimeoutError: there is no answer. And whatever the work raises.
        """
        network = self._network
        if not self.process.lives:
            await asyncio.sleep(network.delay_s())
            raise Gone(self.process.name)
        answer: asyncio.Future[Any] = network.loop.create_future()
        self._waiting[answer] = caller
        if not lost():
            arguments = work, caller, answer, lost
            network.loop.call_later(network.delay_s(), self._begin, *arguments, context=self.process.context)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            self._waiting.pop(answer, None)

    def end(self) -> None:
        """Have the process die."""
        self.process.kill()
        for answer, caller in self._waiting.items():
            notice_s = self._network.chance.seconds(*_NOTICE_S)
            self._later(notice_s, caller, _fail, answer, Gone(self.process.name))
        self._waiting.clear()

    def _begin(
        self,
        work: Callable[[], Coroutine[Any, Any, Any]],
        caller: Process | None,
        answer: asyncio.Future[Any],
        lost: Callable[[], bool],
    ) -> None:
        task = self._network.loop.create_task(work())
        task.add_done_callback(lambda done: self._answer(done, caller, answer, lost))

    def _answer(
        self,
        done: asyncio.Task[Any],
        caller: Process | None,
        answer: asyncio.Future[Any],
        lost: Callable[[], bool],
    ) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if lost():
            return
        delay_s = self._network.delay_s()
        if error is not None:
            self._later(delay_s, caller, _fail, answer, error)
        else:
            self._later(delay_s, caller, _fill, answer, done.result())

    def _later(self, delay_s: float, caller: Process | None, take: Callable[..., None], *given: Any) -> None:
        context = None if caller is None else caller.context
        self._network.loop.call_later(delay_s, take, *given, context=context)


def _fill(answer: asyncio.Future[Any], value: Any) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail(answer: asyncio.Future[Any], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
