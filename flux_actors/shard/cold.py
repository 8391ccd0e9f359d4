"""Where cold entities go: the port, and its twin in memory.

The log is the only truth, so this store is a cache: it is empty when a partition begins its life and gone
with the process. It needs an order (ids by their code points) and walks that see the rows of one moment
while others are put; it needs no durability.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from flux_actors.errors import Unavailable

FOLDER_PREFIX: Final = "cold-"  # of the folder in which a store begins; it goes when the store is open
KEY_BYTES_MAX: Final = 511  # of LMDB; an id of 512 bytes, the longest there is, stays in memory


class ColdStore(Protocol):
    """Rows by entity id. `put` and `walk` raise `Unavailable` when the place cannot serve now."""

    def put(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Keep rows in place of those of the same ids, all or none; of two of one id the last counts.

        No id is longer than `KEY_BYTES_MAX`.
        """
        ...

    def get(self, entity_id: str) -> bytes | None:
        """Return the row of an id."""
        ...

    def count(self) -> int:
        """Return how many rows there are."""
        ...

    def walk(self, start: str) -> AbstractContextManager[Iterator[tuple[str, bytes]]]:
        """Give the rows from id `start` on in order, as they are when the `with` begins.

        The store holds pages for as long as it lasts.
        """
        ...

    def close(self) -> None:
        """Give all room back; the store is not used again."""
        ...


class MemoryColdStore:
    """The twin: a dictionary. `full` makes it refuse rows like a full disk."""

    def __init__(self) -> None:
        self.full = False
        self._rows: dict[str, bytes] = {}

    def put(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Keep rows."""
        if self.full:
            raise Unavailable("the cold store has no room")
        self._rows = self._rows | dict(rows)  # another dictionary: walks go on over theirs

    def get(self, entity_id: str) -> bytes | None:
        """Look it up."""
        return self._rows.get(entity_id)

    def count(self) -> int:
        """Count them."""
        return len(self._rows)

    @contextmanager
    def walk(self, start: str) -> Iterator[Iterator[tuple[str, bytes]]]:
        """Sort what is there."""
        rows = self._rows
        yield ((entity_id, rows[entity_id]) for entity_id in sorted(rows) if entity_id >= start)

    def close(self) -> None:
        """Forget all, and that there was anything: to use it again is a fault."""
        del self._rows
