"""Borrowing: a door's asks to the budgets, and what it does while they are away.

Then it gives out its share by itself: the limit divided by the doors that it has heard of, beginning with
its part of what it believes to be in each bucket. What it gave out so it owes to the budgets. Meanwhile it
looks whether they are back, beside the asks, which so wait for nothing, and pays before it asks them again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.tenancy.budget import Ask, Budgets, Lease, Limit
from flux_actors.tenancy.lending import Lender

_log = structlog.get_logger(__name__)
ALONE: Final = "alone"


class _Debt:
    """What was given out of one bucket, and the ask with which that began."""

    __slots__ = ("at_s", "events", "first")

    def __init__(self, first: Ask, at_s: float) -> None:
        self.events = 0
        self.first = first
        self.at_s = at_s

    def ask(self, limit: Limit, now_s: float) -> Ask:
        """Return how it is paid."""
        owed, returned = max(0, self.events), max(0, -self.events)
        believed = self.first.believed + (now_s - self.at_s) * limit.per_s
        return Ask(owed, owed, returned, believed, self.first.heard)


class Borrower:
    """Asks for one door."""

    def __init__(self, lender: Lender, door: str, clock: Callable[[], float]) -> None:
        self._lender = lender
        self._door = door
        self._clock = clock
        self._alone: Budgets | None = None  # this door's own share, while the budgets are away
        self._debts: dict[str, _Debt] = {}
        self._looking: asyncio.Task[None] | None = None
        self.doors = 1  # that share the buckets

    async def borrow(self, asks: dict[str, Ask], limit: Limit) -> Lease:
        """Return what each bucket gives."""
        if self._alone is None:
            try:
                lease = await self._lender.lease(self._door, asks, limit)
            except Unavailable as error:
                self._begin_alone(error, limit)
            else:
                self.doors = lease.doors
                return lease
        return self._give_alone(asks, limit)

    def close(self) -> None:
        """Look for the budgets no longer."""
        if self._looking is not None:
            self._looking.cancel()

    def _begin_alone(self, error: Unavailable, limit: Limit) -> None:
        _log.warning("rates.alone", reason=error.message, doors=self.doors)
        self._alone = Budgets(self._clock(), ALONE)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look(limit))

    async def _look(self, limit: Limit) -> None:
        """Return when the budgets answer again and have been paid."""
        while self._alone is not None or self._debts:
            await asyncio.sleep(limits.lease_retry_s)
            try:
                await self._lender.lease(self._door, {}, limit)
                # Once, for without an answer it is not known whether it was heard; paid twice, it would be
                # missed for a long time.
                debts, self._debts = self._debts, {}
                now_s = self._clock()
                asks = {name: debt.ask(limit, now_s) for name, debt in debts.items()}
                await self._lender.lease(self._door, asks, limit)
            except Unavailable:
                continue
            self._alone = None
            _log.info("rates.together", paid=sum(debt.events for debt in debts.values()))
        self._looking = None

    def _give_alone(self, asks: dict[str, Ask], limit: Limit) -> Lease:
        now_s = self._clock()
        alone = self._alone = self._alone or Budgets(now_s, ALONE)
        share = limit._replace(per_minute=max(1, limit.per_minute // self.doors))
        parts = {name: ask._replace(believed=ask.believed / self.doors) for name, ask in asks.items()}
        lease = alone.lease(self._door, parts, share, now_s)
        for name, grant in lease.grants.items():
            debt = self._debts.setdefault(name, _Debt(asks[name], now_s))
            debt.events += grant.granted - asks[name].returned
        return Lease(lease.grants, self.doors, ALONE)
