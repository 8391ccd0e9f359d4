"""The digest of a partition's state at one sequence: by it two states are compared without either moving.

It is a snapshot that is hashed in place of being written: the same cut, slice by slice, while events go on
being applied. Each entity's hash goes into one of many buckets, whose sum does not depend on the order in
which entities come. Where two sums differ, the hashes of the entities in those buckets are asked for, and
tell which ones differ. All else that a partition knows is hashed as a whole.

Histories have hashes of their own: how many events of an entity are remembered is a setting.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from collections.abc import Collection
from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.domain.acting.messages import Message
from flux_actors.domain.entity import EntityRow
from flux_actors.snapshot.codec import Behaviours, Header

_HASH_BYTES: Final = 8  # differences are faults, not attacks
_WRAP: Final = (1 << 64) - 1
_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_row = msgspec.msgpack.Decoder(EntityRow).decode


class Digest(msgspec.Struct, array_like=True, frozen=True):
    """What a state is, in short.

    `rest` has a hash for each other thing that a partition knows, by its name. `rows` has the hashes of
    entities in the buckets that were asked about, without and with their histories.
    """

    sequence: int
    entities: int
    buckets: bytes
    with_history: bytes
    rest: dict[str, int]
    suspended: list[str]  # entities that wait for an order in the log; they are in none of the hashes
    history_positions: int = 0
    rows: list[tuple[str, int, int]] = []

    def differing(self, other: Digest, *, history: bool) -> list[int]:
        """Return the buckets in which two states differ."""
        ours, theirs = (array("Q", one.with_history if history else one.buckets) for one in (self, other))
        return [number for number, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]


encode_digest: Final = msgspec.msgpack.Encoder().encode
decode_digest = msgspec.msgpack.Decoder(Digest).decode


def bucket_of(entity_id: str) -> int:
    """Return the bucket of an entity."""
    return zlib.crc32(entity_id.encode()) % limits.digest_buckets


class DigestWriter:
    """Takes what a `SnapshotWriter` takes, and makes a digest of it.

    Arguments:
        header: of the snapshot that it would be.
        suspended: entities that are left out, beside those that the header names.
        wanted: buckets whose entities are told one by one.
    """

    def __init__(self, header: Header, suspended: Collection[str] = (), wanted: Collection[int] = ()) -> None:
        behaviours = header.behaviours
        own = () if behaviours is None else (fault.entity_id for fault in behaviours.suspended)
        self._suspended = {*suspended, *own}
        self._wanted = frozenset(wanted)
        self._sequence = header.sequence
        self._rest = {name: _hash(value) for name, value in _facts(header, self._suspended).items()}
        self._buckets = array("Q", bytes(8 * limits.digest_buckets))
        self._with_history = array("Q", bytes(8 * limits.digest_buckets))
        self._rows: list[tuple[str, int, int]] = []
        self._entities = 0
        self._ids = {True: hashlib.blake2b(), False: hashlib.blake2b()}
        self._messages = hashlib.blake2b()

    def rows(self, encoded: list[bytes]) -> None:
        """Add entities, each the bytes of `encode_row`."""
        for data in encoded:
            row = _decode_row(data)
            if row.entity_id in self._suspended:
                continue
            self._entities += 1
            body = _hash([row.entity_id, row.properties, row.position, row.updated_us, row.leases])
            history = _hash([body, row.history])
            bucket = bucket_of(row.entity_id)
            self._buckets[bucket] = (self._buckets[bucket] + body) & _WRAP
            self._with_history[bucket] = (self._with_history[bucket] + history) & _WRAP
            if bucket in self._wanted:
                self._rows.append((row.entity_id, body, history))

    def ids(self, ids: list[str], *, elder: bool) -> None:
        """Add dedupe ids of one generation."""
        for key in ids:
            self._ids[elder].update(_encode(key))

    def messages(self, messages: list[Message]) -> None:
        """Add messages of the outbox, in its order."""
        for message in messages:
            if message.entity_id not in self._suspended:
                self._messages.update(_encode(message))

    def take(self) -> bytes:
        """Return nothing: it is all in the end."""
        return b""

    def finish(self) -> bytes:
        """Return the bytes of the digest."""
        self._rest["ids"] = _hash([self._ids[elder].digest() for elder in (True, False)])
        self._rest["messages"] = _hash(self._messages.digest())
        return encode_digest(
            Digest(
                self._sequence,
                self._entities,
                self._buckets.tobytes(),
                self._with_history.tobytes(),
                self._rest,
                sorted(self._suspended),
                rows=self._rows,
            )
        )


def _facts(header: Header, suspended: Collection[str]) -> dict[str, Any]:
    """Return what a state is beside its entities, ids and messages, by names that people read."""
    behaviours = header.behaviours or Behaviours.none()
    # What is known of causes counts, not the order in which it was learnt.
    causes = sorted((origin, settled, sorted(rows)) for origin, settled, rows in behaviours.causes)
    stopped = {name: why for name, why in behaviours.stopped.items() if name not in suspended}
    return {
        "clock": header.clock_us,
        "events": header.events_total,
        "committers": header.committers,
        "events set aside": header.poison,
        "age of the ids": [header.elder_start_us, header.younger_start_us],
        "behaviours": behaviours.catalogue,
        "causes": causes,
        "stopped entities": stopped,
    }


def _hash(value: object) -> int:
    return int.from_bytes(hashlib.blake2b(_encode(value), digest_size=_HASH_BYTES).digest())
