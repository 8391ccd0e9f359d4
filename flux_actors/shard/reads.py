"""What a shard answers to doors, as msgpack bytes: Ray passes bytes on without pickling each part."""

from __future__ import annotations

import msgspec

from flux_actors.domain.entity import EntityRow


class Readings(msgspec.Struct, array_like=True, frozen=True):
    """Entities as they were when the partition had applied `sequence`; absent ids are left out."""

    sequence: int
    rows: list[EntityRow]


class Page(msgspec.Struct, array_like=True, frozen=True):
    """A page of a list in id order; `after` says where the next one begins, if there is one."""

    rows: list[EntityRow]
    after: str | None


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
decode_repair = msgspec.msgpack.Decoder(Repair).decode
decode_namespaces = msgspec.msgpack.Decoder(list[NamespaceRow]).decode
