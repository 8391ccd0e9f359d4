"""Telling the past by processes of their own: a few fold at once, those that have told are asked again.

A fold takes all of a core for seconds; in a shard or a door it would hold everybody up. One that takes too
long, or that nobody waits for any more, is ended with its process. A list whose reader leaves is forgotten,
and its process told the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Protocol, TypeVar

from flux_actors import limits
from flux_actors.errors import FluxError, Unavailable
from flux_actors.past.orders import Order, PagesOrder
from flux_actors.past.teller import TOO_LONG
from flux_actors.past.turns import Turns

_T = TypeVar("_T")
_GONE: Final = "the process that told the past has ended; try again in a second"


class TellerGone(Exception):
    """A teller's process has ended."""


class Teller(Protocol):
    """A process that tells the past, one order at a time. What cannot be told raises `FluxError`."""

    async def answer(self, order: Order) -> bytes:
        """Return the answer to an order."""
        ...

    async def first_page(self, order: PagesOrder) -> bytes | None:
        """Fold, and return the first page of a list."""
        ...

    async def next_page(self) -> bytes | None:
        """Return the list's next page, `None` behind the last."""
        ...

    def forget(self) -> None:
        """Have it let go of its list."""
        ...

    def end(self) -> None:
        """End its process, whatever it is doing."""
        ...


class TellersPast:
    """A `Past` that has tellers fold."""

    def __init__(self, start: Callable[[], Teller]) -> None:
        self._idle = _Idle()
        self._start = start
        self._folding = Turns(limits.past_at_once, limits.past_waiting_max)
        self._telling = Turns(limits.past_lists_at_once, limits.past_waiting_max)

    async def answer(self, order: Order) -> bytes:
        """Have a teller fold and answer."""
        async with self._folding.turn():
            teller, answer = await self._begun(lambda teller: teller.answer(order))
        self._idle.add(teller)
        return answer

    async def pages(self, order: PagesOrder) -> AsyncGenerator[bytes, None]:
        """Have a teller fold, and take its pages as they are read; with the first of them it has folded."""
        until_s = time.monotonic() + limits.past_s
        async with self._telling.turn():
            async with self._folding.turn():
                teller, page = await self._begun(lambda teller: teller.first_page(order))
            try:
                while page is not None:
                    ahead = asyncio.ensure_future(teller.next_page())
                    ahead.add_done_callback(_heard)
                    try:
                        yield page
                        page = await asyncio.wait_for(ahead, until_s - time.monotonic())
                    finally:
                        ahead.cancel()
            except TimeoutError:
                teller.end()
                raise Unavailable(TOO_LONG) from None
            except TellerGone:
                raise Unavailable(_GONE) from None
            except (asyncio.CancelledError, GeneratorExit, FluxError):
                self._give_back(teller)
                raise
            self._give_back(teller)

    def _give_back(self, teller: Teller) -> None:
        teller.forget()
        self._idle.add(teller)

    async def _begun(self, ask: Callable[[Teller], Awaitable[_T]]) -> tuple[Teller, _T]:
        """Have a teller fold; return it with the first that it tells.

        One that has been idle may be gone: then the next one is asked.
        """
        while True:
            idle = self._idle.take()
            teller = idle or self._start()
            try:
                return teller, await asyncio.wait_for(ask(teller), limits.past_s)
            except TellerGone:
                if idle is None:
                    raise Unavailable(_GONE) from None
            except FluxError:
                self._idle.add(teller)
                raise
            except TimeoutError:
                teller.end()
                raise Unavailable(TOO_LONG) from None
            except BaseException:
                teller.end()
                raise


class _Idle:
    """Tellers that have told, kept for a while: one takes half a second of a core to start."""

    def __init__(self) -> None:
        self._tellers: dict[Teller, asyncio.TimerHandle] = {}

    def take(self) -> Teller | None:
        """Return the one that told last, `None` when there is none."""
        if not self._tellers:
            return None
        teller, timer = self._tellers.popitem()
        timer.cancel()
        return teller

    def add(self, teller: Teller) -> None:
        """Keep one, unless there are enough."""
        if len(self._tellers) >= limits.past_at_once:
            teller.end()
            return
        self._tellers[teller] = asyncio.get_running_loop().call_later(limits.past_idle_s, self._end, teller)

    def _end(self, teller: Teller) -> None:
        del self._tellers[teller]
        teller.end()


def _heard(ahead: asyncio.Future[bytes | None]) -> None:
    """Take notice of how a page ended that nobody may wait for any more."""
    if not ahead.cancelled():
        ahead.exception()
