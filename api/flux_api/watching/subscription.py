"""Seats and subscriptions: one watcher with options, and each pattern that it has.

A subscription is pending until its base is in: what concerns it is held. Then it is live, and what
concerns it goes out with the rest of its seat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import inf
from typing import Any

from flux_actors.domain.pattern import EVERYTHING
from flux_actors.feed.holding import Holding, Total
from flux_api.watcher import Watcher, prefixes
from flux_api.watching.lens import Lens
from flux_api.watching.mirrors import Mirror
from flux_api.watching.options import Options
from flux_api.watching.outlet import FrameOutlet, Piece


class Subscription:
    """One pattern of one watcher."""

    def __init__(
        self, seat: Seat, pattern: str, options: Options, number: int, request_id: Any = None
    ) -> None:
        self.seat = seat
        self.pattern = pattern
        self.options = options
        self.number = number  # of two that name an entity the newer one decides
        self.request_id = request_id
        self.lens = Lens(options.delta, options.fields)
        self.mirror: Mirror | None = None  # for its condition
        self.since: dict[int, int] = {}  # where it began, by partition
        self.holding: Holding | None = None
        self.base: asyncio.Task[None] | None = None
        self.told = True  # something went out, or was to: what is lost from then on is missed

    @property
    def pending(self) -> bool:
        """Whether its base is not in yet."""
        return self.holding is not None

    def wait(self, total: Total) -> None:
        """Become pending, with nothing held."""
        self.end()
        self.holding = Holding(total)

    def go_live(self) -> None:
        """Be pending no longer."""
        self.told = True
        self._release()

    def end(self) -> None:
        """Begin nothing any more, and hold nothing."""
        if self.base is not None:
            self.base.cancel()
        self._release()

    def _release(self) -> None:
        if self.holding is not None:
            self.holding.clear()
            self.holding = None


class Seat:
    """A watcher with options: its subscriptions, and what is about to be sent to it."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.subscriptions: dict[str, Subscription] = {}
        self.pieces: list[Piece] = []
        self.pressed = False  # the transport is filling up
        self.owed: set[str] = set()  # while it is too slow: of what a condition held, or holds now
        self._outlet = watcher.outlet or FrameOutlet(watcher.link)
        self._freed = asyncio.Event()

    @property
    def pending(self) -> bool:
        """Whether any base is not in yet."""
        return any(subscription.pending for subscription in self.subscriptions.values())

    def of(self, entity_id: str, newest: float = inf) -> Subscription | None:
        """Return the subscription that decides about an entity: the newest one that names it.

        Those with higher numbers than `newest` do not count.
        """
        mine = self.subscriptions
        found = [mine[pattern] for pattern in patterns_of(entity_id) if pattern in mine]
        found = [one for one in found if one.number <= newest]
        return max(found, key=lambda subscription: subscription.number, default=None)

    def send(self, pieces: list[Piece]) -> None:
        """Send pieces at once."""
        batch = any(subscription.options.batch for subscription in self.subscriptions.values())
        self._outlet.send(pieces, batch=batch)

    def flush(self) -> None:
        """Send what was collected."""
        if self.pieces:
            pieces, self.pieces = self.pieces, []
            self.send(pieces)

    def wake(self) -> None:
        """Hear that the transport may be free."""
        if self.free:
            self._freed.set()

    @property
    def free(self) -> bool:
        """Whether the watcher keeps up."""
        return not self.pressed and self.watcher.lag is None

    async def freed(self) -> None:
        """Return when the watcher keeps up."""
        while not self.free:
            self._freed.clear()
            await self._freed.wait()


def patterns_of(entity_id: str) -> Iterable[str]:
    """Return all patterns that name an entity, each once."""
    beginnings = [f"{prefix}*" for prefix in prefixes(entity_id)]
    return dict.fromkeys((EVERYTHING, entity_id, *beginnings))
