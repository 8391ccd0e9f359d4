"""Ending leases, and reminding: what is due is written into the log, and the log is what ends it.

A shard changes nothing by itself. When its clock says that a lease may be due it commits an event which says
so; the fold applies that only if the lease still has this deadline and the log's clock has passed it. So an
event that comes twice, from a shard that was replaced and does not know it, or too early, does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import structlog

from flux_actors import limits
from flux_actors.domain.event import DELETED, server_event, with_terms
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.leases import Lease, Leases
from flux_actors.domain.terms import LEASE_SOURCE, Terms
from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.block import encode_event
from flux_actors.log.committer import Committer, Outcome
from flux_actors.log.ports import EventLog
from flux_actors.shard.held_leases import HeldLeases
from flux_actors.surroundings import HERE, Surroundings

_log = structlog.get_logger(__name__)
STREAM: Final = "flux.expire"
_AT_ONCE: Final = 1_000  # in one block: about 100 KB
_AWAY_S: Final = 0.2


class LogClock:
    """The log's clock as it goes on between two blocks: that of this machine, or ahead of it.

    A door whose clock is ahead, or a machine whose clock was put back, would else have every deadline wait
    until this machine's time has come to what the log says.
    """

    def __init__(self, surroundings: Surroundings = HERE) -> None:
        self._surroundings = surroundings
        self._seen_us = 0
        self._seen_at_s = 0.0

    def at(self, clock_us: int) -> int:
        """Return the time of a log whose newest block has this clock."""
        if clock_us > self.now_us():
            self._seen_us, self._seen_at_s = clock_us, self._surroundings.steady_s()
        return self.now_us()

    def now_us(self) -> int:
        """Return the time of the log as far as it was seen."""
        since_s = self._surroundings.steady_s() - self._seen_at_s
        return max(self._surroundings.now_us(), self._seen_us + int(since_s * 1_000_000))


class _End(NamedTuple):
    """What ends a lease."""

    lease: Lease
    deadline_us: int
    encoded: bytes


class Expirer:
    """Has the leases of one partition ended in time."""

    def __init__(self, log: EventLog, partition: int, surroundings: Surroundings = HERE) -> None:
        self._partition = partition
        self._now_us = surroundings.now_us
        self._clock = LogClock(surroundings)
        self._held = HeldLeases(surroundings.steady_s)
        self._committer = Committer(log, partition, surroundings.identity(), self._stamp_us)
        self._again_at_us = 0
        self._ended_us = 0  # the latest deadline of what was ended

    def begin(self, state: PartitionState) -> None:
        """See from now on which leases are taken."""
        state.timers.taken = []

    def wait_s(self, state: PartitionState) -> float:
        """Return how long nothing is due, at most the time between two heartbeats."""
        next_us = state.timers.next_us
        if next_us is None:
            return self._heartbeat_s()
        until_us = max(next_us - self._clock.at(state.clock_us), self._again_at_us - self._now_us())
        return min(max(until_us / 1_000_000, 0.0), self._heartbeat_s())

    def _heartbeat_s(self) -> float:
        held_s = self._held.wait_s()
        return limits.heartbeat_s if held_s is None else min(max(held_s, 0.0), limits.heartbeat_s)

    def step(self, state: PartitionState, stored_us: int = 0) -> None:
        """Have what is due now ended; `stored_us` is when the log took its newest block, if that is known."""
        if self._again_at_us > self._now_us():
            return
        clock_us = self._clock.at(state.clock_us)
        due = self._due(state, clock_us, stored_us)
        ends = [end for lease in due if (end := _end_of(state, lease, clock_us))]
        self._ended_us = max([self._ended_us, *(end.deadline_us for end in ends)])
        state.timers.taken = []  # what was only put back was not taken anew
        for some in _pieces(ends, self._committer.piece_bytes_max):
            self._commit(state, some)

    def _due(self, state: PartitionState, clock_us: int, stored_us: int) -> list[Lease]:
        """Return what may have to end now."""
        self._held.note(state, clock_us, stored_us or clock_us)
        due = state.timers.due(clock_us, _AT_ONCE)
        return self._held.over() + [lease for lease in due if not self._held.holds(lease)]

    def _stamp_us(self) -> int:
        """Return the time of a block of ends: now, unless that would end what is held."""
        now_us = self._clock.now_us()
        return max(self._ended_us, min(now_us, self._held.clock_us_max(now_us)))

    async def close(self) -> None:
        """Let what is under way finish."""
        await self._committer.close()

    def _commit(self, state: PartitionState, ends: list[_End]) -> None:
        leases = [end.lease for end in ends]

        def settled(outcome: Outcome) -> None:
            if isinstance(outcome, Unavailable):
                self._later(state, leases, outcome)

        try:
            self._committer.put(b"".join(end.encoded for end in ends), len(ends), settled, termed=True)
        except FluxError as error:
            self._later(state, leases, error)

    def _later(self, state: PartitionState, leases: list[Lease], error: FluxError) -> None:
        """Try again in a moment: the log is away."""
        _log.warning("leases.waiting", partition=self._partition, leases=len(leases), reason=error.message)
        self._again_at_us = self._now_us() + int(_AWAY_S * 1_000_000)
        for lease in leases:
            _watch(state, lease)


def _pieces(ends: list[_End], bytes_max: int) -> Iterator[list[_End]]:
    """Cut ends into pieces that fit into a block: the name of a property may be as long as an event."""
    piece: list[_End] = []
    size = 0
    for end in ends:
        if piece and size + len(end.encoded) > bytes_max:
            yield piece
            piece, size = [], 0
        piece.append(end)
        size += len(end.encoded)
    if piece:
        yield piece


def _end_of(state: PartitionState, lease: Lease, clock_us: int) -> _End | None:
    """Return the event that ends a lease, `None` if it is not due or there is none; then it is watched on."""
    actor = state.find(lease.entity_id)
    deadline_us = None if actor is None or actor.leases is None else _deadline_us(actor.leases, lease)
    if deadline_us is None:
        return None
    if deadline_us > clock_us:
        _watch(state, lease)
        return None
    properties: dict[str, Any] = {DELETED: True} if lease.name is None else {lease.name: None}
    if lease.reminds:
        properties = {}
    cause = blake2b(repr(lease).encode(), digest_size=8).hexdigest()
    event_id = f"expire.{deadline_us}.{cause}"
    end = server_event(lease.entity_id, properties, event_id, clock_us // 1_000, LEASE_SOURCE, STREAM)
    terms = Terms(expires_us=deadline_us, reminder=lease.name if lease.reminds else None)
    return _End(lease, deadline_us, encode_event(with_terms(end, terms)))


def _deadline_us(leases: Leases, lease: Lease) -> int | None:
    return leases.reminder_us(lease.name or "") if lease.reminds else leases.deadline_us(lease.name)


def _watch(state: PartitionState, lease: Lease) -> None:
    actor = state.find(lease.entity_id)
    if actor is None or actor.leases is None:
        return
    if not lease.reminds:
        state.timers.note(actor.entity_id, actor.leases)
        return
    deadline_us = actor.leases.reminder_us(lease.name or "")
    if deadline_us is not None:
        state.timers.remind(actor.entity_id, lease.name or "", deadline_us)
