"""Leases: when an entity, or some of its properties, end unless they are renewed; and reminders.

A deadline is a time of the log's clock, counted from the event that set it. That it has passed is told by an
event, which the shard has committed when it is due: so a lease ends at one place of the log, on every
machine and in every replay. `Timers` are the shard's list of what may be due, and no part of the state.

A reminder is a deadline that an entity's behaviour set for itself, under a name; that it has passed is told
to the behaviour. There may be a million of them: so an entity without leases on properties has no dictionary
of its own, reminders are one flat tuple, and `Timers` keep no second list of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from sys import intern
from typing import Any, Final, NamedTuple

import msgspec

from flux_actors.domain.terms import CLAIM, RELEASE, Terms

_MS_US: Final = 1_000
_STALE_MAX: Final = (
    1_000  # entries that an earlier one of the same lease made useless, beside as many as leases
)
_NO_PROPERTIES: Final[dict[str, int]] = {}  # never written to


class Leases(msgspec.Struct, array_like=True):
    """The deadlines of one entity, in microseconds of the log's clock."""

    entity_us: int | None = None
    properties: dict[str, int] = {}
    owner: str | None = None  # the socket that the entity is tied to
    reminders: tuple[Any, ...] = ()  # name, deadline, name, deadline, …

    def __post_init__(self) -> None:
        if not self.properties:
            self.properties = _NO_PROPERTIES
        if self.reminders:
            self._set_reminders(self.reminder_rows())

    def __bool__(self) -> bool:
        """Whether anything can end."""
        return self.entity_us is not None or bool(self.properties) or bool(self.reminders)

    def reminder_us(self, name: str) -> int | None:
        """Return when a reminder is due, `None` when there is none of that name."""
        return dict(self.reminder_rows()).get(name)

    def reminder_rows(self) -> list[tuple[str, int]]:
        """Return names and deadlines of the reminders."""
        return list(zip(self.reminders[::2], self.reminders[1::2], strict=True))

    def remind(self, name: str, deadline_us: int | None) -> None:
        """Set a reminder anew, or take it away for `None`."""
        kept = [row for row in self.reminder_rows() if row[0] != name]
        if deadline_us is not None:
            kept.append((name, deadline_us))
        self._set_reminders(kept)

    def _set_reminders(self, rows: list[tuple[str, int]]) -> None:
        """Keep rows; names are few, so that all entities share them."""
        self.reminders = tuple(part for name, deadline_us in rows for part in (intern(name), deadline_us))

    def deadline_us(self, name: str | None) -> int | None:
        """Return when a property ends, or the entity for `None`; `None` when it does not."""
        return self.entity_us if name is None else self.properties.get(name)

    def without(self, names: Iterable[str]) -> Leases | None:
        """Let go of properties that have new values, not on lease any more; `None` when nothing is left."""
        for name in names:
            self.properties.pop(name, None)
        return self or None

    def take(self, terms: Terms, living: Mapping[str, object], clock_us: int) -> None:
        """Set what an event asks for an entity with the properties `living`.

        A lease on the claim is set by claims alone: what stands there while it runs is one.
        """
        if terms.claim is not None and terms.claim.verb != RELEASE:
            self._lease(CLAIM, clock_us + terms.claim.ttl_ms * _MS_US)
        if terms.ttl_ms is not None:
            self.entity_us = clock_us + terms.ttl_ms * _MS_US if terms.ttl_ms else None
            self.owner = terms.owner
        for name, ttl_ms in (terms.property_ttl_ms or {}).items():
            if name == CLAIM:
                continue
            if ttl_ms and name in living:
                self._lease(name, clock_us + ttl_ms * _MS_US)
            else:
                self.properties.pop(name, None)
        for name, after_ms in (terms.remind or {}).items():
            self.remind(name, clock_us + after_ms * _MS_US if after_ms else None)
        if terms.reminder is not None:
            self.remind(terms.reminder, None)

    def _lease(self, name: str, deadline_us: int) -> None:
        if self.properties is _NO_PROPERTIES:
            self.properties = {}
        self.properties[name] = deadline_us


class Lease(NamedTuple):
    """A lease by its place: of a property, or of a whole entity for `None`; or a reminder by its name."""

    entity_id: str
    name: str | None
    reminds: bool = False


class Timers:
    """Leases by when they may be due: at least one entry for each that is not later than its deadline."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str, tuple[str, ...]]] = []  # no name for a whole entity
        self._noted: dict[Lease, int] = {}  # the earliest entry of each
        self._reminders: list[tuple[int, str, str]] = []  # at least one entry that is right for each
        self._crowded_at = _STALE_MAX
        self.taken: list[str] | None = None  # entities of leases, as they are noted; for who asks by a list

    def __len__(self) -> int:
        """Return how many leases are watched."""
        return len(self._noted)

    @property
    def reminder_entries(self) -> int:
        """How many entries are kept for reminders, useless ones included."""
        return len(self._reminders)

    def reminded(self) -> list[str]:
        """Return the entities of all entries for reminders; some may have none any more."""
        return [entity_id for _, entity_id, _ in self._reminders]

    @property
    def entries(self) -> int:
        """How many entries are kept, useless ones included."""
        return len(self._heap)

    @property
    def next_us(self) -> int | None:
        """When something may be due, `None` for never."""
        if not self._reminders:
            return self._heap[0][0] if self._heap else None
        return min(self._reminders[0][0], self._heap[0][0]) if self._heap else self._reminders[0][0]

    def note(self, entity_id: str, leases: Leases) -> None:
        """Watch all leases of an entity, but no reminders."""
        if self.taken is not None:
            self.taken.append(entity_id)
        if leases.entity_us is not None:
            self._note(Lease(entity_id, None), leases.entity_us)
        for name, deadline_us in leases.properties.items():
            self._note(Lease(entity_id, name), deadline_us)

    def due(self, clock_us: int, most: int) -> list[Lease]:
        """Take out up to `most` leases that may be due; those that were renewed are to be noted again."""
        found: list[Lease] = []
        while self._heap and self._heap[0][0] <= clock_us and len(found) < most:
            deadline_us, entity_id, name = heapq.heappop(self._heap)
            lease = Lease(entity_id, *(name or (None,)))
            if self._noted.get(lease) == deadline_us:
                del self._noted[lease]
                found.append(lease)
        while self._reminders and self._reminders[0][0] <= clock_us and len(found) < most:
            _, entity_id, text = heapq.heappop(self._reminders)
            found.append(Lease(entity_id, text, reminds=True))
        return found

    def remind(self, entity_id: str, name: str, deadline_us: int) -> None:
        """Watch a reminder that was just set, or is not due yet."""
        if self.taken is not None:
            self.taken.append(entity_id)
        heapq.heappush(self._reminders, (deadline_us, entity_id, intern(name)))

    def thin(self, stands: Callable[[int, str, str], bool]) -> None:
        """Leave out entries that do not stand any more, when there are twice as many as the last time."""
        if len(self._reminders) > self._crowded_at:
            self._reminders = [entry for entry in dict.fromkeys(self._reminders) if stands(*entry)]
            heapq.heapify(self._reminders)
            self._crowded_at = 2 * len(self._reminders) + _STALE_MAX

    def _note(self, lease: Lease, deadline_us: int) -> None:
        """Have an entry for a lease: a renewed one is found again by its old entry, and costs nothing."""
        if deadline_us < self._noted.get(lease, deadline_us + 1):
            self._noted[lease] = deadline_us
            heapq.heappush(self._heap, _entry(lease, deadline_us))
            if len(self._heap) > 2 * len(self._noted) + _STALE_MAX:
                self._heap = [_entry(lease, deadline_us) for lease, deadline_us in self._noted.items()]
                heapq.heapify(self._heap)


def _entry(lease: Lease, deadline_us: int) -> tuple[int, str, tuple[str, ...]]:
    return deadline_us, lease.entity_id, () if lease.name is None else (lease.name,)
