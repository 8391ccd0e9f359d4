"""What doors ask of a shard, and what it answers.

Answers are msgpack bytes: Ray passes bytes on without pickling each part.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from flux_actors.domain.acting.faults import subject_of
from flux_actors.domain.change import Change
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.entity_id import namespace_of


class Readings(msgspec.Struct, array_like=True, frozen=True):
    """Entities as they were when the partition had applied `sequence`; absent ids are left out."""

    sequence: int
    rows: list[EntityRow]


class Veil(NamedTuple):
    """What a reader must not be shown: these namespaces, except ids that begin with `shown`."""

    namespaces: frozenset[str]
    shown: str | None = None

    def hides(self, entity_id: str) -> bool:
        """Whether an entity is behind it."""
        subject = subject_of(entity_id)
        if namespace_of(subject) not in self.namespaces:
            return False
        return self.shown is None or not subject.startswith(self.shown)

    def covers(self, prefix: str) -> bool:
        """Whether all ids that begin so are behind it."""
        subject = subject_of(prefix)
        if "/" not in subject or namespace_of(subject) not in self.namespaces:
            return False
        return self.shown is None or not (self.shown.startswith(subject) or subject.startswith(self.shown))


NO_VEIL: Final = Veil(frozenset())


class Query(NamedTuple):
    """What a reader asks of a list: which entities, and which of their properties; `None` means all."""

    where: str | None = None
    fields: tuple[str, ...] | None = None


EVERYTHING: Final = Query()


class PageOrder(NamedTuple):
    """Which page of a list a door wants; it holds one entity at least, however large."""

    prefix: str
    after: str | None  # the id behind which the page begins
    bytes_max: int
    joined: bool  # runs of many entities: nobody merges them with those of other partitions
    veil: Veil = NO_VEIL
    query: Query = EVERYTHING
    rows_max: int | None = None


class Page(msgspec.Struct, array_like=True):
    """A page of a list in id order, rendered: JSON of one entity, or of several with commas between.

    A run's id is that of its last entity. `after` says where the next page begins, if there is one.
    """

    ids: list[str]
    runs: list[bytes]
    after: str | None


class Rows(msgspec.Struct, array_like=True, frozen=True):
    """Living entities in id order, all as they were when the partition had applied `sequence`.

    `after` says where the next ones begin, if there are any.
    """

    sequence: int
    rows: list[EntityRow]
    after: str | None


class Recalled(msgspec.Struct, array_like=True, frozen=True):
    """Changes up to `sequence` in log order, `None` when the shard no longer remembers all of them."""

    sequence: int
    changes: list[Change] | None


class Repair(msgspec.Struct, array_like=True, frozen=True):
    """What a door missed: the feed messages, or, when those are gone, all that changed since."""

    sequence: int
    messages: list[bytes] | None
    rows: list[EntityRow]


class NamespaceRow(msgspec.Struct, array_like=True, frozen=True):
    """The totals of one namespace in one partition."""

    namespace: str
    entities: int
    updated_us: int


encode = msgspec.msgpack.Encoder().encode
decode_readings = msgspec.msgpack.Decoder(dict[int, Readings]).decode
decode_page = msgspec.msgpack.Decoder(Page).decode
decode_rows = msgspec.msgpack.Decoder(Rows).decode
decode_recalled = msgspec.msgpack.Decoder(Recalled).decode
decode_repair = msgspec.msgpack.Decoder(Repair).decode
decode_namespaces = msgspec.msgpack.Decoder(list[NamespaceRow]).decode
