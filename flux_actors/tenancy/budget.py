"""Budgets: how many events a namespace may publish, as one bucket for all doors.

The bucket of a namespace holds at most the limit of a minute and is refilled evenly. Doors do not ask for
each event: they take a lease of some events and let them pass by themselves. All leases together are a
small share of the limit, so what lies unused at doors is never missed, and a limit too small for shares is
given out one by one.

A door may also be ahead of its lease, by as little: the first event after an idle time need not wait for an
answer when the bucket was far from empty. It owes these events, and a bucket that pays for them may go
below zero; then nothing more is given until that is made good.

The buckets are in one process alone and are not stored. Budgets that begin anew learn from the doors, which
remember what they were told and by whom: what they heard from others before, and what is left of it,
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from flux_actors import limits

MINUTE_S: Final = 60.0
_ALMOST: Final = 1e-6  # of an event: sums of parts of events may be that much too small
_SWEEP_S: Final = 10.0


class Limit(NamedTuple):
    """How many events a namespace may publish in a minute, and in which version of the config."""

    per_minute: int
    revision: int = 0

    @property
    def per_s(self) -> float:
        """How fast a bucket is refilled."""
        return self.per_minute / MINUTE_S


class Ask(NamedTuple):
    """What a door asks of a bucket: up to `wanted` events, of which it has let `owed` pass already.

    It gives `returned` events back. When it last heard of the bucket, from the budgets called `heard`, there
    were so many in it that by now there are `believed`.
    """

    wanted: int
    owed: int = 0
    returned: int = 0
    believed: float = float("inf")
    heard: str = ""


class Grant(NamedTuple):
    """What a bucket gives: when that is less than was wanted, `wait_s` until it is worth asking again.

    `level` is what is left in it.
    """

    granted: int
    wait_s: float
    level: float


class Lease(NamedTuple):
    """The answer to a door's asks, how many doors share the buckets now, and who has told it."""

    grants: dict[str, Grant]
    doors: int
    budgets: str = ""


def share_of(per_minute: int, doors: int) -> int:
    """Return how many events a door may hold, or be ahead, of one namespace; 0 for a small limit."""
    return int(per_minute * limits.lease_share / doors)


class _Bucket:
    __slots__ = ("at_s", "began_with", "level")

    def __init__(self, level: float, at_s: float) -> None:
        self.level = level
        self.began_with = level  # and what has come in since
        self.at_s = at_s

    def fill(self, limit: Limit, now_s: float) -> None:
        """Add what has come in since it was last looked at."""
        more, full = max(0.0, now_s - self.at_s) * limit.per_s, float(limit.per_minute)
        self.level = min(full, self.level + more)
        self.began_with = min(full, self.began_with + more)
        self.at_s = now_s

    def learn(self, believed: float) -> None:
        """Hear that by now there would be so many in it, had nothing been taken since it began."""
        if believed < self.began_with:
            self.level -= self.began_with - believed
            self.began_with = believed


class Budgets:
    """The buckets of all namespaces; times are seconds of one clock that never goes back.

    `name` is theirs alone: whoever begins anew has another.
    """

    def __init__(self, now_s: float, name: str) -> None:
        self._name = name
        self._buckets: dict[str, _Bucket] = {}
        self._doors: dict[str, float] = {}
        self._limit: Limit | None = None
        self._swept_at_s = now_s

    def __len__(self) -> int:
        """Return how many buckets there are: those that are full are forgotten."""
        return len(self._buckets)

    def lease(self, door: str, asks: Mapping[str, Ask], limit: Limit, now_s: float) -> Lease:
        """Answer the asks of one door, which knows `limit`; the newest limit that any door knows counts."""
        in_force = self._in_force(limit, now_s)
        self._sweep(in_force, now_s)
        self._doors[door] = now_s
        share = share_of(in_force.per_minute, len(self._doors))
        grants = {name: self._grant(name, ask, in_force, share, now_s) for name, ask in asks.items()}
        return Lease(grants, len(self._doors), self._name)

    def _grant(self, namespace: str, ask: Ask, limit: Limit, share: int, now_s: float) -> Grant:
        bucket = self._buckets.get(namespace)
        if bucket is None:
            bucket = self._buckets[namespace] = _Bucket(float(limit.per_minute), now_s)
        bucket.fill(limit, now_s)
        if ask.heard != self._name:
            bucket.learn(ask.believed)
        bucket.level = min(float(limit.per_minute), bucket.level + ask.returned)
        granted = max(ask.owed, min(ask.wanted, int(bucket.level + _ALMOST)), 0)
        bucket.level -= granted
        wait_s = 0.0
        if granted < ask.wanted:
            worth = max(1, share)
            wait_s = max((worth - bucket.level) / limit.per_s, limits.lease_wait_s_min)
        return Grant(granted, wait_s, bucket.level)

    def _in_force(self, limit: Limit, now_s: float) -> Limit:
        known = self._limit
        if known is None:
            self._limit = known = limit
        elif limit.revision > known.revision:
            more = max(0, limit.per_minute - known.per_minute)
            for bucket in self._buckets.values():
                bucket.fill(known, now_s)
                bucket.level = min(bucket.level + more, float(limit.per_minute))
            self._limit = known = limit
        return known

    def _sweep(self, limit: Limit, now_s: float) -> None:
        """Forget buckets that are full, for so begins every one, and doors that have not asked for long."""
        if now_s < self._swept_at_s + _SWEEP_S:
            return
        self._swept_at_s = now_s
        for bucket in self._buckets.values():
            bucket.fill(limit, now_s)
        full = float(limit.per_minute)
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if bucket.level < full}
        seen_since_s = now_s - limits.lease_door_s
        self._doors = {door: seen_s for door, seen_s in self._doors.items() if seen_s >= seen_since_s}
