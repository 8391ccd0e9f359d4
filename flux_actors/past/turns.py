"""Taking turns: a few at once, some waiting, the rest told to come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from flux_actors import limits
from flux_actors.errors import Unavailable

_RETRY_S: Final = 2


class Turns:
    """At most `at_once` have a turn, and at most `waiting_max` wait for one."""

    def __init__(self, at_once: int, waiting_max: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._waiting_max = waiting_max

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have a turn, in the order of asking.

        One that is given up has its process ended, and the next needs a new one: a second of a core. So that
        place stays taken for a while: else those who come and go would have all cores start processes.

        Raises:
            Unavailable: too many wait already.
        """
        if self._places.locked() and self._waiting >= self._waiting_max:
            raise Unavailable("too many ask for the past at once; try again in a moment", _RETRY_S)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        given_up = False
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            given_up = True
            raise
        finally:
            if given_up:
                asyncio.get_running_loop().call_later(limits.past_pause_s, self._places.release)
            else:
                self._places.release()
