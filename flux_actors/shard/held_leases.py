"""Leases that were taken while the log's clock stood still, and must not end early for that.

The log's clock stands at its newest block, while that of a shard goes on (`LogClock`). Where the door
that takes a lease has a clock that is behind, the two differ by a lag. The lease counts from the log's clock,
so by the shard's it would end early by that lag, and one that is shorter would end at once. So a shard notes
such leases as they are taken, and holds them until the time that they were given has passed, as a steady
clock counts it.

Nothing of this is in the log or in a snapshot, so the next shard knows of none; and a block of a door whose
clock is ahead still ends what is due by it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, NamedTuple

from flux_actors.domain.fold import PartitionState
from flux_actors.domain.leases import Lease

# Less than that is how long a block is on its way on a busy machine, or what clocks may differ by.
_LAG_US: Final = 2_000_000
_SECOND_US: Final = 1_000_000


class _Held(NamedTuple):
    deadline_us: int
    until_s: float


class HeldLeases:
    """Those of one partition; `steady_s` is the clock that they are held by."""

    def __init__(self, steady_s: Callable[[], float]) -> None:
        self._steady_s = steady_s
        self._held: dict[Lease, _Held] = {}
        self._due: list[tuple[float, int, Lease]] = []  # due but for being held; by when that is over
        self._number = count()  # of what is due, so that leases are never compared

    def note(self, state: PartitionState, clock_us: int, stored_us: int) -> None:
        """Hold what was taken since the last time, if the log's clock was so far behind.

        It is compared with when the log took the block: a shard that has only come to it late holds nothing.
        """
        taken, state.timers.taken = state.timers.taken, []
        if not taken or stored_us - state.clock_us <= _LAG_US:
            return
        now_s = self._steady_s() - max(0, clock_us - stored_us) / _SECOND_US
        for entity_id in dict.fromkeys(taken):
            for lease, deadline_us in _leases_of(state, entity_id):
                known = self._held.get(lease)
                if deadline_us > state.clock_us and (known is None or known.deadline_us != deadline_us):
                    until_s = now_s + (deadline_us - state.clock_us) / _SECOND_US
                    self._held[lease] = _Held(deadline_us, until_s)

    def holds(self, lease: Lease) -> bool:
        """Whether a lease that is due must wait; then `over` returns it in time."""
        held = self._held.get(lease)
        if held is None:
            return False
        if held.until_s <= self._steady_s():
            del self._held[lease]
            return False
        heapq.heappush(self._due, (held.until_s, next(self._number), lease))
        return True

    def over(self) -> list[Lease]:
        """Take out those that were due and have waited."""
        found = []
        while self._due and self._due[0][0] <= self._steady_s():
            *_, lease = heapq.heappop(self._due)
            if not self.holds(lease):  # it may have been renewed, and held again
                found.append(lease)
        return found

    def wait_s(self) -> float | None:
        """Return how long none is over, `None` for ever."""
        return self._due[0][0] - self._steady_s() if self._due else None

    def clock_us_max(self, clock_us: int) -> int:
        """Return up to which time the log's clock may be put without ending what is held."""
        return min((held.deadline_us - 1 for held in self._held.values()), default=clock_us)


def _leases_of(state: PartitionState, entity_id: str) -> Iterator[tuple[Lease, int]]:
    actor = state.find(entity_id)
    if actor is None or actor.leases is None:
        return
    leases = actor.leases
    if leases.entity_us is not None:
        yield Lease(entity_id, None), leases.entity_us
    for name, deadline_us in leases.properties.items():
        yield Lease(entity_id, name), deadline_us
    for name, deadline_us in leases.reminder_rows():
        yield Lease(entity_id, name, reminds=True), deadline_us
