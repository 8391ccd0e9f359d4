"""Rates: how many events of each namespace this door lets pass.

A door holds a purse for each namespace that publishes: events that the budgets have lent it. Taking from it
is a subtraction. When a purse runs low its door asks for more, ahead of need, for all purses in one call;
when it is empty, what comes waits for the answer, in its order. When a bucket has nothing to give, its
namespace is refused here, without a call, until the time that the answer named. What lies unused goes back
after an idle second.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.domain.runtime_config import RuntimeConfig
from flux_actors.errors import Refused
from flux_actors.tenancy.budget import Ask, Grant, Limit, share_of
from flux_actors.tenancy.lending import Lender, MemoryLender
from flux_api.borrowing import ALONE, Borrower

_log = structlog.get_logger(__name__)
_NEVER: Final = -math.inf
_NOBODY: Final = math.inf
_SWEPT_AT_ONCE: Final = 500
Go = Callable[[int], None]  # hears how many events pass; the others are refused


@dataclass(slots=True, eq=False)
class _Purse:
    """What this door holds of one namespace."""

    floor: float  # below zero: how far it may be ahead of its lease
    left: int = 0
    low: float = 0  # below it more is asked for
    queue: deque[tuple[int, Go]] = field(default_factory=deque)
    asked: bool = False  # whether an answer is awaited
    returns: bool = False  # whether what is left goes back with the next ask
    refused_until_s: float = 0.0
    believed: float = math.inf  # events in the bucket, as of a time and as told by certain budgets
    believed_at_s: float = 0.0
    heard: str = ""
    seen_left: int = 0

    def need(self) -> int:
        """Return how many events wait."""
        return sum([count for count, _ in self.queue])

    def some(self, count: int) -> int:
        """Take what there is of `count` events, and return how many that is."""
        passed = max(0, min(count, self.left))
        self.left -= passed
        return passed


class Rates:
    """The rate limit of one door; nothing is counted while it is `off`."""

    def __init__(
        self, lender: Lender, door: str, *, in_force: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._borrower = Borrower(lender, door, clock)
        self._in_force = in_force
        self._clock = clock
        self._purses: dict[str, _Purse] = {}
        self._wishes: dict[str, _Purse] = {}
        self._limit = Limit(limits.rate_per_minute)
        self._share = share_of(self._limit.per_minute, 1)
        self._asking: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self.off = True

    def configure(self, config: RuntimeConfig, revision: int) -> None:
        """Let a config be in force."""
        before, self._limit = self._limit, Limit(config.rate_limit_per_namespace_per_minute, revision)
        self._share = share_of(self._limit.per_minute, self._borrower.doors)
        self.off = not (self._in_force and config.rate_limit_enabled)
        if self.off:
            self._forget()
        elif self._limit.per_minute != before.per_minute:
            for namespace, purse in self._purses.items():
                self._begin_anew(namespace, purse)

    async def close(self) -> None:
        """Let pass what waits, and ask no more."""
        self.off = True
        self._forget()
        self._borrower.close()
        for task in (self._asking, self._sweeping):
            if task is not None:
                task.cancel()

    def take(self, namespace: str, count: int = 1) -> bool:
        """Whether `count` events of a namespace pass at once; if not, `admit` knows what becomes of them."""
        purse = self._purses.get(namespace)
        if purse is None:
            purse = self._open(namespace)
        left = purse.left - count
        if left < purse.floor:
            return False
        purse.left = left
        if left < purse.low:
            self._wish(namespace, purse)
        return True

    def admit(self, namespace: str, count: int, go: Go) -> None:
        """Have `go` hear how many of `count` events pass, now or when the budgets have answered.

        Those of a namespace are answered in the order in which they came.
        """
        if self.off or self.take(namespace, count):
            go(count)
            return
        purse = self._purses[namespace]
        if not purse.queue and self._clock() < purse.refused_until_s:
            go(purse.some(count))
            return
        purse.queue.append((count, go))
        purse.floor = _NOBODY  # may overtake
        self._wish(namespace, purse)

    def refuses(self, namespace: str) -> bool:
        """Whether there is nothing now, and nobody need be asked whether there is."""
        purse = self._purses.get(namespace)
        return (
            purse is not None
            and purse.left <= 0
            and not purse.queue
            and self._clock() < purse.refused_until_s
        )

    def short_of(self, namespace: str, count: int) -> bool:
        """Whether fewer than `count` events may pass now, as far as this door has heard."""
        if self.refuses(namespace):
            return count > 0
        purse = self._purses.get(namespace)
        held = math.inf if purse is None else self._believed(purse, self._clock()) + purse.left
        return count > min(held, self._limit.per_minute)

    def give_back(self, namespace: str, count: int) -> None:
        """Take back events that had passed and were refused for another reason."""
        purse = self._purses.get(namespace)
        if purse is not None:
            purse.left += count

    def refusal(self, namespace: str) -> Refused:
        """Return why events of a namespace do not pass now, and when some will."""
        purse = self._purses.get(namespace)
        wait_s = purse.refused_until_s - self._clock() if purse is not None else 0.0
        seconds = max(1, math.ceil(wait_s))
        text = (
            f"namespace {namespace} has used up its {self._limit.per_minute} events per minute; "
            f"try again in {seconds} s"
        )
        return Refused(text, 429, {"Retry-After": str(seconds)})

    def _open(self, namespace: str) -> _Purse:
        purse = self._purses[namespace] = _Purse(-self._share)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())
        return purse

    def _wish(self, namespace: str, purse: _Purse) -> None:
        """Have a purse asked for in the next call."""
        purse.low = _NEVER
        purse.asked = True
        self._wishes[namespace] = purse
        self._begin_asking()

    def _begin_asking(self) -> None:
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        """Ask for all purses that wish it, until none does; one for none tells how many doors there are."""
        try:
            first = True
            while self._wishes or first:
                first = False
                wishes, self._wishes = self._wishes, {}
                limit, now_s = self._limit, self._clock()
                asks = {name: self._ask_of(purse, now_s) for name, purse in wishes.items()}
                lease = await self._borrower.borrow(asks, limit)
                self._share = share_of(self._limit.per_minute, lease.doors)
                for name, purse in wishes.items():
                    purse.asked = name in self._wishes
                    if lease.budgets != ALONE:
                        purse.believed, purse.believed_at_s = lease.grants[name].level, now_s
                        purse.heard = lease.budgets
                    self._receive(name, purse, lease.grants[name], limit)
        finally:
            self._asking = None

    def _ask_of(self, purse: _Purse, now_s: float) -> Ask:
        returned = max(0, purse.left) if purse.returns else 0
        purse.left -= returned
        ahead = 0 if purse.returns else self._share
        purse.returns = False
        owed = max(0, -purse.left)
        wanted = max(owed, purse.need() + ahead - purse.left)
        return Ask(wanted, owed, returned, self._believed(purse, now_s), purse.heard)

    def _believed(self, purse: _Purse, now_s: float) -> float:
        return purse.believed + (now_s - purse.believed_at_s) * self._limit.per_s

    def _receive(self, namespace: str, purse: _Purse, grant: Grant, limit: Limit) -> None:
        """Put into a purse what was granted, and let pass what waits for it."""
        purse.left += grant.granted
        current = limit.per_minute == self._limit.per_minute and not self.off
        dry = grant.wait_s > 0 and current
        if dry:
            purse.refused_until_s = self._clock() + grant.wait_s
        queue = purse.queue
        while queue and (dry or queue[0][0] <= purse.left or self.off):
            count, go = queue.popleft()
            _tell(go, count if self.off else purse.some(count))
        plenty = not dry and grant.level > limits.lease_plenty * self._limit.per_minute
        purse.floor = _NOBODY if queue else (-self._share if plenty else 0)
        if queue:
            self._wish(namespace, purse)
        elif not purse.asked:
            purse.low = self._share // 2 if self._share and not dry else _NEVER
        if limit.per_minute != self._limit.per_minute and not self.off:
            self._begin_anew(namespace, purse)

    def _begin_anew(self, namespace: str, purse: _Purse) -> None:
        """Give back what another limit allowed, and forget what was told and owed under it."""
        purse.left = max(0, purse.left)
        purse.returns = True
        purse.refused_until_s = 0.0
        purse.believed = math.inf
        purse.floor = max(purse.floor, 0)
        self._wish(namespace, purse)

    def _forget(self) -> None:
        purses, self._purses, self._wishes = self._purses, {}, {}
        for purse in purses.values():
            while purse.queue:
                count, go = purse.queue.popleft()
                _tell(go, count)

    async def _sweep(self) -> None:
        """Give back what lies unused, forget purses that are as if they had never been."""
        while self._purses:
            await asyncio.sleep(limits.lease_idle_s)
            for number, (name, purse) in enumerate(list(self._purses.items())):
                self._sweep_one(name, purse)
                if number % _SWEPT_AT_ONCE == _SWEPT_AT_ONCE - 1:
                    await asyncio.sleep(0)
            if self._purses:
                self._begin_asking()
        self._sweeping = None

    def _sweep_one(self, namespace: str, purse: _Purse) -> None:
        idle = purse.left == purse.seen_left and not purse.asked and namespace in self._purses
        purse.seen_left = purse.left
        if not idle:
            return
        now_s = self._clock()
        if purse.left:
            purse.returns = True
            self._wish(namespace, purse)
        elif now_s >= purse.refused_until_s and self._believed(purse, now_s) >= self._limit.per_minute:
            del self._purses[namespace]


def unlimited() -> Rates:
    """Return rates that are off and stay so."""
    return Rates(MemoryLender(time.monotonic), "", in_force=False)


def _tell(go: Go, count: int) -> None:
    """Tell one who waits; when that fails, the others must hear all the same."""
    try:
        go(count)
    except Exception:  # noqa: BLE001 - its neighbours wait too
        _log.exception("rates.listener_failed")
