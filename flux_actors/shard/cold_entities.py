"""The cold entities of one partition: rows in a `ColdStore`, and all ids in order.

The store has a key for every entity, hot or cold: so its order is the order of all ids, and no list of them
takes memory. An id that was born a moment ago, or is too long for a key, waits in `unstored`; walks
merge those in.

    a row = cut u32 | position i64 | lives u8 | msgpack of the EntityRow

or nothing, while its entity never was cold.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from flux_actors.domain.entity import EntityRow
from flux_actors.shard.cold import KEY_BYTES_MAX, ColdStore
from flux_actors.snapshot.codec import encode_row

_HEAD: Final = struct.Struct(">Iq?")
_NEVER_COLD: Final = b""
_decode_row = msgspec.msgpack.Decoder(EntityRow).decode


class KeptRow:
    """A row of the store; only its head is decoded until somebody asks for more."""

    __slots__ = ("_data", "_row", "cut", "entity_id", "lives", "position")

    def __init__(self, entity_id: str, data: bytes) -> None:
        self.entity_id = entity_id
        self.cut, self.position, self.lives = _HEAD.unpack_from(data)
        self._data = data
        self._row: EntityRow | None = None

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self._data)

    @property
    def encoded(self) -> bytes:
        """The bytes of its `EntityRow`."""
        return self._data[_HEAD.size :]

    @property
    def properties(self) -> dict[str, Any] | None:
        """Its properties."""
        return self.row().properties

    @property
    def updated_us(self) -> int:
        """When it last changed."""
        return self.row().updated_us

    def row(self) -> EntityRow:
        """Decode it, once."""
        if self._row is None:
            self._row = _decode_row(memoryview(self._data)[_HEAD.size :])
        return self._row


class ColdEntities:
    """What is cold, and the ids of everything."""

    def __init__(self, store: ColdStore) -> None:
        self._store = store
        self._unstored: set[str] = set()
        self._unstored_in_order: list[str] | None = []
        self._fresh: list[str] = []  # those of `_unstored` that the store can take
        self.newest = -1  # no row has a position behind this one

    @property
    def known(self) -> int:
        """How many ids there are."""
        return self._store.count() + len(self._unstored)

    def name(self, entity_id: str) -> bool:
        """Take in the id of a new entity; return whether it can ever be cold."""
        fits = key_fits(entity_id)
        if fits:
            self._fresh.append(entity_id)
        self._unstored.add(entity_id)
        self._unstored_in_order = None
        return fits

    def settle(self) -> None:
        """Give the store the keys of new entities; raises `Unavailable` when it has no room."""
        if self._fresh:
            self.put([])

    def encode(self, row: EntityRow, cut: int) -> tuple[str, bytes]:
        """Return what `put` takes for an entity whose actor's last cut is `cut`."""
        self.newest = max(self.newest, row.position)
        head = _HEAD.pack(cut, row.position, row.properties is not None)
        return row.entity_id, head + encode_row(row)

    def put(self, rows: list[tuple[str, bytes]]) -> None:
        """Keep encoded rows, all or none; raises `Unavailable` when there is no room."""
        self._store.put([*((entity_id, _NEVER_COLD) for entity_id in self._fresh), *rows])
        if self._fresh:
            self._unstored.difference_update(self._fresh)
            self._unstored_in_order = None
            self._fresh = []

    def get(self, entity_id: str) -> KeptRow | None:
        """Return the row of an entity that is not hot."""
        data = self._store.get(entity_id)
        return KeptRow(entity_id, data) if data else None

    @contextmanager
    def walk(self, start: str) -> Iterator[Iterator[tuple[str, KeptRow | None]]]:
        """Give all ids from `start` on in order with the rows of now."""
        unstored = [(entity_id, None) for entity_id in self._in_order() if entity_id >= start]
        with self._store.walk(start) as stored:
            rows = ((entity_id, KeptRow(entity_id, data) if data else None) for entity_id, data in stored)
            yield heapq.merge(rows, unstored, key=_id_of) if unstored else rows

    def close(self) -> None:
        """Give the store back."""
        self._store.close()

    def _in_order(self) -> list[str]:
        if self._unstored_in_order is None:
            self._unstored_in_order = sorted(self._unstored)
        return self._unstored_in_order


def key_fits(entity_id: str) -> bool:
    """Whether a store can have a key for this id."""
    return len(entity_id) <= KEY_BYTES_MAX // 4 or len(entity_id.encode()) <= KEY_BYTES_MAX


def _id_of(item: tuple[str, KeptRow | None]) -> str:
    return item[0]
