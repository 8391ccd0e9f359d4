"""The entity actor: one entity's state and what it does with a run of its events.

Hosted inside a shard, it costs less than a kilobyte. Its mailbox is the merged run of its events of
one pull: the shard hands over all of them at once, in log order, and the actor applies each whole.
A deleted entity stays as an actor without properties: its history and its clock go on.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from flux_actors.domain.acting.catalogue import Binding
from flux_actors.domain.change import Step
from flux_actors.domain.clock import iso_of
from flux_actors.domain.leases import Leases
from flux_actors.domain.position import Packed, text_of
from flux_actors.domain.terms import Terms

Run = Step | list[Step]  # the events of one entity in one pull, in log order


@dataclass(slots=True)
class NamespaceTotals:
    """What the directory tells of a namespace."""

    entities: int = 0
    updated_us: int = 0


class EntityRow(msgspec.Struct, array_like=True, frozen=True):
    """An entity at rest: in snapshots and in answers of a shard."""

    entity_id: str
    properties: dict[str, Any] | None
    position: int
    updated_us: int
    history: bytes = b""
    leases: Leases | None = None


class Readable(Protocol):
    """What reading an entity needs of it: a row, an actor or a door's copy."""

    @property
    def entity_id(self) -> str: ...
    @property
    def properties(self) -> dict[str, Any] | None: ...
    @property
    def position(self) -> int: ...
    @property
    def updated_us(self) -> int: ...


class EntityBody(msgspec.Struct, frozen=True, rename={"last_updated": "lastUpdated"}):
    """An entity as clients read it."""

    id: str
    properties: dict[str, Any]
    last_updated: str


_encode_json = msgspec.json.Encoder().encode


def render(entity: Readable) -> bytes:
    """Return the JSON of a living entity."""
    return _encode_json(EntityBody(entity.entity_id, entity.properties or {}, iso_of(entity.updated_us)))


def render_some(entity: Readable, fields: Sequence[str]) -> bytes:
    """Return the JSON of a living entity with those of the named properties that it has."""
    properties = entity.properties or {}
    some = {name: properties[name] for name in fields if name in properties}
    return _encode_json(EntityBody(entity.entity_id, some, iso_of(entity.updated_us)))


def etag_of(partition: int, position: int) -> str:
    """Return the entity's ETag with its quotes: the position of the event that made it so."""
    return f'"{text_of(partition, Packed(position))}"'


class EntityActor:
    """One entity: properties, position, clock, the positions of its newest events, and its mailbox."""

    __slots__ = (
        "binding",
        "cut",
        "entity_id",
        "history",
        "leases",
        "mailbox",
        "namespace",
        "position",
        "properties",
        "updated_us",
    )

    namespace: NamespaceTotals  # those of the state that adopted this actor

    def __init__(self, entity_id: str, cut: int) -> None:
        self.entity_id = entity_id
        self.properties: dict[str, Any] | None = None
        self.position = -1
        self.updated_us = 0
        self.history: array[int] | None = None  # position, clock, …; `None`: just the newest, as they stand
        self.leases: Leases | None = None
        self.cut = cut  # number of the last snapshot cut that has (or need not have) this actor
        self.binding: Binding | None = None  # its behaviour, once it was looked up
        self.mailbox: Run | None = None  # what came for it in the pull that is being sorted

    @property
    def lives(self) -> bool:
        """Whether the entity exists for readers."""
        return self.properties is not None

    def receive(self, run: Run, history: int, void: list[int]) -> int:
        """Apply the events of one pull in log order and remember the newest `history` positions.

        `void` takes the positions of deletions that found nothing. Returns by how much the number of
        living entities changed: 1, 0 or -1. A single event that sets properties, which is nearly every
        run, takes a way of its own through this method: it halves the cost.
        """
        if isinstance(run, list):
            return self._receive_any(run, history, void)
        position, _, properties, clock_us = run
        if not properties or self.leases is not None:
            return self._receive_any([run], history, void)
        kept = self.history
        if not history:
            self.history = None
        elif kept is not None:
            kept.append(position)
            kept.append(clock_us)
            if len(kept) > 3 * history:
                del kept[: -2 * history]
        elif self.position >= 0:
            kept = self.history = array("q", (self.position, self.updated_us, position, clock_us))
            if len(kept) > 3 * history:
                del kept[: -2 * history]
        self.position = position
        self.updated_us = clock_us
        current = self.properties
        if current is None:
            self.properties = properties.copy()  # the run's own may be on their way into the feed
            return 1
        current.update(properties)
        return 0

    def receive_termed(self, step: Step, terms: Terms, history: int, void: list[int]) -> int:
        """Apply an event with terms, which was decided to apply; its step holds what it sets."""
        _, _, properties, clock_us = step
        difference = 0
        if properties is None or properties or not terms.is_silent:
            difference = self._receive_any([step], history, void)
        if self.properties is not None and properties is not None:
            leases = self.leases or Leases()
            leases.take(terms, self.properties, clock_us)
            self.leases = leases or None
        return difference

    def _receive_any(self, run: list[Step], history: int, void: list[int]) -> int:
        self._remember(run, history)
        before = current = self.properties
        for position, _, properties, clock_us in run:
            if properties is None:
                if current is None:
                    void.append(position)
                    continue
                current = None
                self.leases = None
            elif not properties:
                continue
            elif current is None:
                current = properties.copy()
            else:
                current.update(properties)
                if self.leases is not None:
                    self.leases = self.leases.without(properties)
            self.position = position
            self.updated_us = clock_us
        self.properties = current
        return (current is not None) - (before is not None)

    def positions(self, since_us: int, until_us: int, count: int) -> list[tuple[int, int]]:
        """Return the newest `count` (position, clock) with since <= clock < until, newest first."""
        history = self._kept_history()
        found: list[tuple[int, int]] = []
        for index in range(len(history) - 2, -1, -2):
            clock_us = history[index + 1]
            if clock_us < since_us or len(found) == count:
                break  # the log's clock never goes back, so all earlier ones are older still
            if clock_us < until_us:
                found.append((history[index], clock_us))
        return found

    def row(self) -> EntityRow:
        """Return the state for a snapshot."""
        history = self.history.tobytes() if self.history else b""
        return EntityRow(
            self.entity_id, self.properties, self.position, self.updated_us, history, self.leases
        )

    def reading(self) -> EntityRow:
        """Return the state for readers, without history."""
        return EntityRow(self.entity_id, self.properties, self.position, self.updated_us)

    @classmethod
    def from_row(cls, row: EntityRow, cut: int) -> EntityActor:
        """Rebuild an actor from its row."""
        actor = cls(row.entity_id, cut)
        actor.properties = row.properties
        actor.position = row.position
        actor.updated_us = row.updated_us
        if row.history:
            actor.history = array("q", row.history)
        actor.leases = row.leases
        return actor

    def _remember(self, run: list[Step], history: int) -> None:
        if not history:
            self.history = None
            return
        if self.history is None and self.position < 0 and len(run) == 1 and run[0][2]:
            return  # the first event of all: `position` and `updated_us` will tell of it
        kept = self._kept_history()
        for position, _, _, clock_us in run:
            kept.append(position)
            kept.append(clock_us)
            if len(kept) > 3 * history:  # after each event: so it is the same however the log was pulled
                del kept[: -2 * history]
        self.history = kept

    def _kept_history(self) -> array[int]:
        if self.history is not None:
            return self.history
        return array("q", () if self.position < 0 else (self.position, self.updated_us))
