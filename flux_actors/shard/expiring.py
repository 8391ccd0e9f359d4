"""Ending leases: what is due is written into the log, and the log is what ends it.

A shard changes nothing by itself. When its clock says that a lease may be due it commits an event which says
so; the fold applies that only if the lease still has this deadline and the log's clock has passed it. So an
event that comes twice, from a shard that was replaced and does not know it, or too early, does nothing.
"""

from __future__ import annotations

import secrets
import time
from hashlib import blake2b
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.domain.event import DELETED, Event, TermedEvent, server_event, with_terms
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.leases import Lease
from flux_actors.domain.terms import Terms
from flux_actors.errors import Unavailable
from flux_actors.log.block import encode_events
from flux_actors.log.committer import Committer, Outcome
from flux_actors.log.ports import EventLog

_log = structlog.get_logger(__name__)
_SOURCE: Final = "flux-leases"
STREAM: Final = "flux.expire"
_AT_ONCE: Final = 1_000  # in one block: about 100 KB
_AWAY_S: Final = 0.2


class Expirer:
    """Has the leases of one partition ended in time."""

    def __init__(self, log: EventLog, partition: int) -> None:
        self._partition = partition
        self._committer = Committer(log, partition, secrets.randbits(63), now_us)
        self._again_at_us = 0

    def wait_s(self, state: PartitionState) -> float:
        """Return how long nothing is due, at most the time between two heartbeats."""
        next_us = state.timers.next_us
        if next_us is None:
            return limits.heartbeat_s
        until_us = max(next_us, self._again_at_us) - max(now_us(), state.clock_us)
        return min(max(until_us / 1_000_000, 0.0), limits.heartbeat_s)

    def step(self, state: PartitionState) -> None:
        """Have what is due now ended."""
        if self._again_at_us > now_us():
            return
        clock_us = max(now_us(), state.clock_us)
        leases = state.timers.due(clock_us, _AT_ONCE)
        ends: list[Event] = [end for lease in leases if (end := _end_of(state, lease, clock_us)) is not None]
        if ends:
            self._commit(state, leases, ends)

    async def close(self) -> None:
        """Let what is under way finish."""
        await self._committer.close()

    def _commit(self, state: PartitionState, leases: list[Lease], ends: list[Event]) -> None:
        def settled(outcome: Outcome) -> None:
            if isinstance(outcome, Unavailable):
                self._later(state, leases, outcome)

        try:
            self._committer.put(encode_events(ends), len(ends), settled, termed=True)
        except Unavailable as error:
            self._later(state, leases, error)

    def _later(self, state: PartitionState, leases: list[Lease], error: Unavailable) -> None:
        """Try again in a moment: the log is away."""
        _log.warning("leases.waiting", partition=self._partition, leases=len(leases), reason=error.message)
        self._again_at_us = now_us() + int(_AWAY_S * 1_000_000)
        for lease in leases:
            _watch(state, lease)


def _end_of(state: PartitionState, lease: Lease, clock_us: int) -> TermedEvent | None:
    """Return the event that ends a lease, `None` if it is not due or there is none; then it is watched on."""
    actor = state.find(lease.entity_id)
    deadline_us = None if actor is None or actor.leases is None else actor.leases.deadline_us(lease.name)
    if deadline_us is None:
        return None
    if deadline_us > clock_us:
        _watch(state, lease)
        return None
    properties = {DELETED: True} if lease.name is None else {lease.name: None}
    cause = blake2b(repr(lease).encode(), digest_size=8).hexdigest()
    event_id = f"expire.{deadline_us}.{cause}"
    end = server_event(lease.entity_id, properties, event_id, clock_us // 1_000, _SOURCE, STREAM)
    return with_terms(end, Terms(expires_us=deadline_us))


def _watch(state: PartitionState, lease: Lease) -> None:
    actor = state.find(lease.entity_id)
    if actor is not None and actor.leases is not None:
        state.timers.note(actor.entity_id, actor.leases)


def now_us() -> int:
    """Return the time of this machine."""
    return time.time_ns() // 1_000
