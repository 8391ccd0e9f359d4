"""Passivation: which entities leave memory, and when; the border between hot and cold of one partition.

Hot actors stand in a ring, and a hand goes round it (CLOCK). Where it points, an actor leaves unless it
has changed since the hand's last round but one began: an actor's position tells, so that neither events
nor reads leave marks. Reads do not count: doors keep copies of what they read, and a shard answers the
rest from the row (5 µs), so an entity that is only read need not be hot.

What the hot actors weigh is estimated: every turn a few of them, evenly spread over the ring, are
weighed, and the mean of the last 256 times their number is the weight of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

from flux_actors import limits
from flux_actors.domain.entity import EntityActor, EntityRow
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Unavailable
from flux_actors.shard.cold import ColdStore
from flux_actors.shard.cold_entities import ColdEntities, KeptRow, key_fits
from flux_actors.shard.weight import weigh

_SAMPLES: Final = 16  # a turn: 30 µs
_WINDOW: Final = 256
_STRIDE: Final = 0x9E3779B1  # golden ratio: multiples of it are spread evenly over any ring
_NEVER_US: Final = 1 << 63
_VISITS: Final = 2_000  # about 0.2 ms


class Passivator:
    """Hot and cold of one partition."""

    def __init__(self, state: PartitionState, store: ColdStore) -> None:
        self._state = state
        self._cold = ColdEntities(store)
        self._ring: list[EntityActor] = []
        self._hand = 0
        self._round_began = -1  # at this sequence
        self._spared_after = -1
        self._pinned = 0  # actors with ids that the store cannot keep
        self._samples = 0
        self._mean_bytes = 0.0
        state.cold = self

    @property
    def hot_bytes(self) -> int:
        """An estimate of what the hot actors weigh."""
        return int(self._mean_bytes * self.hot)

    @property
    def hot(self) -> int:
        """How many entities are in memory."""
        return len(self._ring) + self._pinned

    @property
    def known(self) -> int:
        """How many entities there are."""
        return self._cold.known

    @property
    def idle_since_us(self) -> int:
        """When the actor at the hand last changed, by the log's clock; never, when none can leave."""
        return self._ring[self._hand % len(self._ring)].updated_us if self._ring else _NEVER_US

    # What the fold and a snapshot ask: flux_actors/domain/cold.py

    def recall(self, entity_id: str) -> EntityActor | None:
        """Make a cold entity hot."""
        kept = self._cold.get(entity_id)
        if kept is None:
            return None
        actor = EntityActor.from_row(kept.row(), kept.cut)
        self._ring.append(actor)
        return actor

    def born(self, actor: EntityActor) -> None:
        """Take in the actor of a new id."""
        if self._cold.name(actor.entity_id):
            self._ring.append(actor)
        else:
            self._pinned += 1

    def fits(self, entity_id: str) -> bool:
        """Ask the store's keys."""
        return key_fits(entity_id)

    def keep(self, rows: list[EntityRow]) -> None:
        """Keep a snapshot's entities without making them hot."""
        self._cold.put([self._cold.encode(row, 0) for row in rows])

    def find(self, entity_id: str) -> KeptRow | None:
        """Look at a cold entity."""
        return self._cold.get(entity_id)

    def walk(self, start: str) -> AbstractContextManager[Iterator[tuple[str, KeptRow | None]]]:
        """Walk over all ids."""
        return self._cold.walk(start)

    @property
    def newest(self) -> int:
        """A position behind which no cold entity has changed."""
        return self._cold.newest

    def close(self) -> None:
        """Give the store back."""
        self._cold.close()

    # What the shard's memory does between two pulls: flux_actors/shard/memory.py

    def settle(self) -> None:
        """Weigh a few actors, and give new entities their keys; raises `Unavailable` without room."""
        for _ in range(min(_SAMPLES, len(self._ring))):
            self._samples += 1
            actor = self._ring[self._samples * _STRIDE % len(self._ring)]
            self._mean_bytes += (weigh(actor) - self._mean_bytes) / min(self._samples, _WINDOW)
        self._cold.settle()

    def evict(self) -> bool:
        """Have some of the actors at the hand leave; return whether any is left that could.

        Raises:
            Unavailable: the store has no room for them; they stay.
        """
        victims: list[EntityActor] = []
        rows: list[tuple[str, bytes]] = []
        size = 0
        for _ in range(_VISITS):
            if not self._ring or len(rows) == limits.passivation_batch or size >= limits.passivation_bytes:
                break
            actor = self._next()
            if actor is not None:
                victims.append(actor)
                rows.append(self._cold.encode(actor.row(), actor.cut))
                size += len(rows[-1][1])
        if victims:
            self._let_go(victims, rows)
        return bool(self._ring)

    def _next(self) -> EntityActor | None:
        """Take the actor at the hand out of the ring, or spare it and move on."""
        if self._hand >= len(self._ring):
            self._hand = 0
            self._spared_after, self._round_began = self._round_began, self._state.sequence
        actor = self._ring[self._hand]
        if actor.position >> limits.offset_bits > self._spared_after:
            self._hand += 1
            return None
        last = self._ring.pop()
        if last is not actor:
            self._ring[self._hand] = last  # the newest: its turn is the next round
            self._hand += 1
        return actor

    def _let_go(self, victims: list[EntityActor], rows: list[tuple[str, bytes]]) -> None:
        try:
            self._cold.put(rows)
        except Unavailable:
            self._ring += victims
            raise
        for actor in victims:
            del self._state.entities[actor.entity_id]
