"""The truth: the pure fold of all that the log ever held, one block at a time, from the first to the last."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import msgspec

from flux_actors.domain.acting.causes import Causes
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.event import EventHead
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.position import pack
from flux_actors.errors import Corrupt
from flux_actors.log.block import decode_block
from flux_actors.snapshot.codec import Behaviours
from tests.simulation.acting import reducers

_FOREVER_US: Final = 1 << 62
_encode: Final = msgspec.msgpack.Encoder().encode


class Stand(NamedTuple):
    """An entity behind a change of it."""

    position: int
    properties: dict[str, Any] | None
    clock_us: int


class Logged(NamedTuple):
    """An event of the log."""

    partition: int
    position: int
    entity_id: str | None


class Truth:
    """What one partition is, and was."""

    def __init__(self, partition: int, blocks: list[bytes], wanted: Collection[int] = ()) -> None:
        self.partition = partition
        self.blocks = blocks
        self.state = PartitionState(partition)
        self.state.acting.reducers = reducers().of_partition(partition)
        self.stands: dict[str, list[Stand]] = {}
        self.logged: dict[str, list[Logged]] = {}  # by event id, copies and retries included
        self.at: dict[int, bytes] = {}  # the state behind those blocks that are `wanted`, and the last
        self.events: dict[int, str] = {}  # ids by position
        for sequence, data in enumerate(blocks, 1):
            self._apply(sequence, data)
            if sequence in wanted:
                self.at[sequence] = canonical(self.state)
        self.at.setdefault(0, canonical(PartitionState(partition)))
        self.at[self.state.sequence] = canonical(self.state)
        self.applied = self._applied()

    def stand(self, entity_id: str, position: int) -> Stand | None:
        """Return an entity as it was behind the change at a position."""
        return next((one for one in self.stands.get(entity_id, ()) if one.position == position), None)

    def entities(self) -> dict[str, dict[str, Any]]:
        """Return the living entities."""
        actors = self.state.entities.values()
        return {actor.entity_id: actor.properties for actor in actors if actor.properties is not None}

    def _apply(self, sequence: int, data: bytes) -> None:
        try:
            block = decode_block(data)
        except Corrupt as error:
            raise AssertionError(f"block {sequence} of {self.partition} cannot be read: {error}") from None
        for offset, event in enumerate(block.events):
            assert isinstance(event, EventHead), event
            position = pack(sequence, offset)
            self.events[position] = event.event_id
            self.logged.setdefault(event.event_id, []).append(
                Logged(self.partition, position, event.entity_id)
            )
        told = self.state.apply([(sequence, block)])
        for change, entity_id, properties, clock_us in told.changes:
            stands = self.stands.setdefault(entity_id, [])
            before = stands[-1].properties if stands else None
            after = None if properties is None else (before or {}) | properties
            stands.append(Stand(change, after, clock_us))

    def _applied(self) -> dict[str, list[Logged]]:
        """Return by event id where events counted, as the entities remember it."""
        found: dict[str, list[Logged]] = {}
        for entity_id, actor in self.state.entities.items():
            for position, _ in actor.positions(0, _FOREVER_US, 1_000):
                where = Logged(self.partition, position, entity_id)
                found.setdefault(self.events[position], []).append(where)
        return found


def canonical(state: PartitionState) -> bytes:
    """Return a partition's state as bytes that are equal only for equal states."""
    acting = state.acting
    return _encode(
        (
            (state.partition, state.sequence, state.clock_us, state.events_total, state.alive),
            rows_of(state),
            sorted((name, totals.entities, totals.updated_us) for name, totals in state.namespaces.items()),
            [(one.start_us, one.ids) for one in (state.window.elder, state.window.younger)],
            list(state.committers.items()),
            state.poison,
            msgspec.structs.replace(Behaviours.of(acting), causes=_causes(acting.causes)),
            list(acting.outbox.messages.values()),
        )
    )


def _causes(causes: Causes) -> list[Any]:
    """Return what is known of causes, in an order of their own: in which they were learnt does not count."""
    return sorted([partition, settled, sorted(rows)] for partition, settled, rows in causes.rows())


def rows_of(state: PartitionState) -> list[EntityRow]:
    """Return all entities by id, those that left memory too."""
    rows = {entity_id: actor.row() for entity_id, actor in state.entities.items()}
    if state.cold is not None:
        with state.cold.walk("") as ids:
            rows |= {name: kept.row() for name, kept in ids if name not in rows and kept is not None}
    return [rows[entity_id] for entity_id in sorted(rows)]
