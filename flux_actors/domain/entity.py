"""The entity actor: one entity's state and what it does with a run of its events.

Hosted inside a shard, it costs less than a kilobyte. Its mailbox is the merged run of its events of
one pull: the shard hands over all of them at once, in log order, and the actor applies each whole.
A deleted entity stays as an actor without properties: its history and its clock go on.
"""

from __future__ import annotations

from array import array
from typing import Any, NamedTuple, Protocol

import msgspec

from flux_actors import limits
from flux_actors.domain.change import Change
from flux_actors.domain.clock import iso_of
from flux_actors.domain.event import DELETED
from flux_actors.domain.position import Packed, text_of


class Step(NamedTuple):
    """One event in an actor's mailbox."""

    slot: int  # where its change goes in the pull's list of changes
    position: Packed
    clock_us: int
    properties: dict[str, Any] | None


class EntityRow(msgspec.Struct, array_like=True, frozen=True):
    """An entity at rest: in snapshots and in answers of a shard."""

    entity_id: str
    properties: dict[str, Any] | None
    position: int
    updated_us: int
    history: bytes = b""


class Readable(Protocol):
    """What reading an entity needs of it: a row, an actor or a door's copy."""

    @property
    def entity_id(self) -> str: ...
    @property
    def properties(self) -> dict[str, Any] | None: ...
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


def etag_of(partition: int, position: int) -> str:
    """Return the entity's ETag with its quotes: the position of the event that made it so."""
    return f'"{text_of(partition, Packed(position))}"'


class EntityActor:
    """One entity: properties, position, clock and the positions of its newest events."""

    __slots__ = ("cut", "entity_id", "history", "position", "properties", "updated_us")

    def __init__(self, entity_id: str, cut: int) -> None:
        self.entity_id = entity_id
        self.properties: dict[str, Any] | None = None
        self.position: Packed = Packed(-1)
        self.updated_us = 0
        self.history: array[int] | None = None  # position, clock, position, clock, …
        self.cut = cut  # number of the last snapshot cut that has (or need not have) this actor

    @property
    def lives(self) -> bool:
        """Whether the entity exists for readers."""
        return self.properties is not None

    def receive(self, run: list[Step], changes: list[Change | None]) -> None:
        """Apply a run of events in log order and put each effect at its place in `changes`."""
        for step in run:
            self._remember(step)
            properties = step.properties
            if not properties:
                continue  # names no property: logged, changes nothing
            if properties.get(DELETED) is True:
                if self.properties is None:
                    continue
                self.properties = None
                properties = None
            elif self.properties is None:
                self.properties = dict(properties)
            else:
                self.properties.update(properties)
            self.position = step.position
            self.updated_us = step.clock_us
            changes[step.slot] = Change(step.position, self.entity_id, properties, step.clock_us)

    def positions(self, since_us: int, until_us: int, count: int) -> list[tuple[int, int]]:
        """Return the newest `count` (position, clock) with since <= clock < until, newest first."""
        history = self.history or array("q")
        newest = range(len(history) - 2, -1, -2)
        found: list[tuple[int, int]] = []
        for index in newest:
            clock_us = history[index + 1]
            if clock_us < since_us or len(found) == count:
                break  # the log's clock never goes back, so all earlier ones are older still
            if clock_us < until_us:
                found.append((history[index], clock_us))
        return found

    def row(self) -> EntityRow:
        """Return the state for a snapshot."""
        history = self.history.tobytes() if self.history else b""
        return EntityRow(self.entity_id, self.properties, self.position, self.updated_us, history)

    def reading(self) -> EntityRow:
        """Return the state for readers, without history."""
        return EntityRow(self.entity_id, self.properties, self.position, self.updated_us)

    @classmethod
    def from_row(cls, row: EntityRow, cut: int) -> EntityActor:
        """Rebuild an actor from its row."""
        actor = cls(row.entity_id, cut)
        actor.properties = row.properties
        actor.position = Packed(row.position)
        actor.updated_us = row.updated_us
        if row.history:
            actor.history = array("q", row.history)
        return actor

    def _remember(self, step: Step) -> None:
        if self.history is None:
            self.history = array("q")
        self.history.append(step.position)
        self.history.append(step.clock_us)
        if len(self.history) >= 4 * limits.history_positions_max:
            del self.history[: -2 * limits.history_positions_max]
