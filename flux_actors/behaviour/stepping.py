"""Steps of a coroutine: what an async handler does between two awaits, each of them guarded.

A coroutine holds the event loop while it computes, and all others wait. So each step may take as long as a
handler that is not async; how long it may wait in between is bounded by who awaits it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

from flux_actors.behaviour.watchdog import Guard, Overran


class Steps:
    """Awaits a coroutine step by step.

    Arguments:
        guard: that of the event loop's thread.
        limit_s: how long one step may take.
        coroutine: what is awaited.
        given_up: whether a cancellation is to end it now, whatever it makes of that.
    """

    def __init__(
        self,
        guard: Guard,
        limit_s: float,
        coroutine: Coroutine[Any, Any, Any],
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._guard = guard
        self._limit_s = limit_s
        self._coroutine = coroutine
        self._given_up = given_up

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run it to its end.

        Raises:
            Overran: one of its steps did.
            BaseException: what it raises.
        """
        guard, limit_s, coroutine = self._guard, self._limit_s, self._coroutine
        step: Any = coroutine.send
        value: Any = None
        try:
            while True:
                try:
                    awaited = guard.call(limit_s, step, value)
                except StopIteration as end:
                    return end.value
                try:
                    step, value = coroutine.send, (yield awaited)
                except BaseException as error:
                    if self._given_up():
                        raise
                    step, value = coroutine.throw, error
        finally:
            self._close()

    def _close(self) -> None:
        """End it; one that has ended already is left alone."""
        with suppress(Overran, Exception):
            self._guard.call(self._limit_s, self._coroutine.close)
