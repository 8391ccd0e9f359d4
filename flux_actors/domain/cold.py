"""What the fold and a snapshot need to know of entities that left memory: the port.

An entity is hot (an actor in `PartitionState.entities`) or cold (a row that `Cold` keeps), never both: a
row of a hot entity says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from flux_actors.domain.entity import EntityActor, EntityRow, Readable


class ColdRow(Readable, Protocol):
    """A row, still encoded as far as nobody asks."""

    @property
    def position(self) -> int: ...
    @property
    def lives(self) -> bool: ...
    @property
    def cut(self) -> int:
        """The actor's `cut` when it left."""
        ...

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        ...

    @property
    def encoded(self) -> bytes:
        """The bytes of its `EntityRow`, as they stand in snapshots too."""
        ...

    def row(self) -> EntityRow:
        """Return it decoded."""
        ...


class Cold(Protocol):
    """Keeps the entities that left memory, and hears of those that come into it."""

    @property
    def known(self) -> int:
        """How many entities there are, hot and cold."""
        ...

    @property
    def newest(self) -> int:
        """A position behind which no cold entity has changed."""
        ...

    def recall(self, entity_id: str) -> EntityActor | None:
        """Return the actor of a cold entity, which is hot from now on; `None` for an id nobody knows."""
        ...

    def born(self, actor: EntityActor) -> None:
        """Hear of an actor that never was cold."""
        ...

    def fits(self, entity_id: str) -> bool:
        """Whether an entity of this id can be cold."""
        ...

    def keep(self, rows: list[EntityRow]) -> None:
        """Keep entities of a snapshot, whose ids fit, as cold ones.

        Raises:
            Unavailable: there is no room for them.
        """
        ...

    def find(self, entity_id: str) -> ColdRow | None:
        """Return the row of an entity that is not hot, and leave it cold."""
        ...

    def walk(self, start: str) -> AbstractContextManager[Iterator[tuple[str, ColdRow | None]]]:
        """Give all ids from `start` on in order, hot ones too, with the rows of the moment it begins.

        The row of an id that is hot at that moment may be old or `None`.
        """
        ...

    def close(self) -> None:
        """Give back what is held outside memory."""
        ...
