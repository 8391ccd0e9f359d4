"""What is asked of the past, and who answers: the port between a door and the process that folds."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

import msgspec

from flux_actors.domain.change import Change
from flux_actors.domain.entity import EntityRow
from flux_actors.past.target import ThroughPosition, ThroughTime
from flux_actors.shard.reads import PageOrder

Floors = dict[str, int]  # of namespaces whose names had other owners: what is before a position was theirs


class EntityOrder(NamedTuple):
    """One entity as it was."""

    partition: int
    entity_id: str
    target: ThroughPosition | ThroughTime


class Part(NamedTuple):
    """One partition of a list."""

    partition: int
    target: ThroughPosition | ThroughTime
    floors: Floors


class CountOrder(NamedTuple):
    """How many entities a list had, over all its partitions."""

    parts: list[Part]
    page: PageOrder


class PagesOrder(NamedTuple):
    """A list as it was, page after page; the first has `page.bytes_max`, each other `bytes_max`."""

    parts: list[Part]
    page: PageOrder
    bytes_max: int


class ChangesOrder(NamedTuple):
    """What changed behind the packed position `after`, up to the block `until_sequence`."""

    partition: int
    prefix: str
    after: int
    until_sequence: int


Order = EntityOrder | CountOrder | ChangesOrder


class Past(Protocol):
    """Folds again what is asked for.

    Both raise `Refused` 410 for a past that is gone, 413 for one that is too large, and `Unavailable` for one
    that takes too long or cannot be told now.
    """

    async def answer(self, order: Order) -> bytes:
        """Return what `decode_entity`, `decode_count` or `decode_changes` reads."""
        ...

    def pages(self, order: PagesOrder) -> AsyncGenerator[bytes, None]:
        """Yield each `Page` of a list."""
        ...


encode = msgspec.msgpack.Encoder().encode
decode_entity = msgspec.msgpack.Decoder(EntityRow | None).decode
decode_count = msgspec.msgpack.Decoder(int).decode
decode_changes = msgspec.msgpack.Decoder(list[Change]).decode
