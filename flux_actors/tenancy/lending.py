"""The way from a door to the budgets, and its twin in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from flux_actors.errors import Unavailable
from flux_actors.tenancy.budget import Ask, Budgets, Lease, Limit


class Lender(Protocol):
    """Has the one process ask that holds the budgets of all doors."""

    async def lease(self, door: str, asks: Mapping[str, Ask], limit: Limit) -> Lease:
        """Return what each bucket gives.

        Raises:
            Unavailable: there was no answer in time; whether the asks were heard is not known.
        """
        ...


class MemoryLender:
    """A `Lender` in this process; `away` makes it unreachable, `forget` is what a restart does."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.away = False
        self.calls = 0
        self._restarts = 0
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a process that was started again."""
        self._restarts += 1
        self.budgets = Budgets(self._clock(), f"budgets-{self._restarts}")

    async def lease(self, door: str, asks: Mapping[str, Ask], limit: Limit) -> Lease:
        """Answer after a turn of the loop."""
        self.calls += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("the router does not answer")
        return self.budgets.lease(door, asks, limit, self._clock())
