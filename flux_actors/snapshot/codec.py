"""The snapshot format.

    magic "FLUXSNAP" | version u16 | zstd stream of frames | blake2b-256 of all before it

A frame is a length (u32) and a msgpack value. The first holds the `Header`, then come frames of
dedupe ids and of entity rows, the last one is the `Trailer`, whose counts must match: a file that was
cut short or changed anywhere does not verify.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import zstandard

from flux_actors.domain.dedupe import DedupeWindow, Generation
from flux_actors.domain.entity import EntityActor, EntityRow
from flux_actors.domain.fold import PartitionState, SetAside
from flux_actors.errors import Corrupt

MAGIC: Final = b"FLUXSNAP"
VERSION: Final = 1
_PREFIX: Final = struct.Struct(">8sH")
_LENGTH: Final = struct.Struct(">I")
_DIGEST_BYTES: Final = 32
_LEVEL: Final = 1  # measured: level 3 saves 6 % more and costs twice the time


class Header(msgspec.Struct, array_like=True, frozen=True):
    """Facts of the partition beside its entities."""

    log_id: str
    partition: int
    sequence: int
    clock_us: int
    events_total: int
    committers: list[tuple[int, int]]
    poison: list[tuple[int, str]]
    elder_start_us: int
    younger_start_us: int


class Rows(msgspec.Struct, array_like=True, frozen=True, tag="rows"):
    """Some entities."""

    rows: list[EntityRow]


class Ids(msgspec.Struct, array_like=True, frozen=True, tag="ids"):
    """Some dedupe ids of one generation."""

    elder: bool
    ids: list[str]


class Trailer(msgspec.Struct, array_like=True, frozen=True, tag="end"):
    """What must have come before."""

    entities: int
    ids: int


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_part = msgspec.msgpack.Decoder(Rows | Ids | Trailer).decode


def encode_row(row: EntityRow) -> bytes:
    """Return the bytes of an entity inside a snapshot."""
    return _encode(row)


class SnapshotWriter:
    """Turns frames into the bytes of a snapshot, piece by piece."""

    def __init__(self, header: Header) -> None:
        self._digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
        self._entities = 0
        self._ids = 0
        self._out: list[bytes] = []
        self._emit(_PREFIX.pack(MAGIC, VERSION))
        self._frame(_encode(header))

    def rows(self, encoded: list[bytes]) -> None:
        """Add entities, each the bytes of `encode_row`."""
        self._entities += len(encoded)
        self._frame(_encode(["rows", [msgspec.Raw(row) for row in encoded]]))

    def ids(self, ids: list[str], *, elder: bool) -> None:
        """Add dedupe ids of one generation."""
        self._ids += len(ids)
        self._frame(_encode(Ids(elder, ids)))

    def take(self) -> bytes:
        """Return the bytes made since the last call."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def finish(self) -> bytes:
        """Return the last bytes."""
        self._frame(_encode(Trailer(self._entities, self._ids)))
        self._emit(self._compressor.flush())
        self._out.append(self._digest.digest())
        return self.take()

    def _frame(self, value: bytes) -> None:
        self._emit(self._compressor.compress(_LENGTH.pack(len(value)) + value))

    def _emit(self, data: bytes) -> None:
        if data:
            self._digest.update(data)
            self._out.append(data)


def read_snapshot(chunks: Iterable[bytes]) -> tuple[Header, PartitionState]:
    """Return the header and the state of a snapshot's bytes.

    Raises:
        Corrupt: the bytes do not verify, or are of a version this code does not know.
    """
    frames = _frames(_verified(chunks))
    try:
        header = _decode_header(next(frames))
        return header, _state(header, frames)
    except (msgspec.DecodeError, ValueError, StopIteration, RuntimeError, zstandard.ZstdError) as error:
        raise Corrupt(f"a snapshot does not decode: {error}") from error


def _verified(chunks: Iterable[bytes]) -> bytes:
    data = b"".join(chunks)
    if len(data) < _PREFIX.size + _DIGEST_BYTES:
        raise Corrupt("a snapshot is shorter than its frame")
    body = memoryview(data)[:-_DIGEST_BYTES]
    if hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() != data[-_DIGEST_BYTES:]:
        raise Corrupt("the checksum of a snapshot does not match its content")
    magic, version = _PREFIX.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise Corrupt(f"snapshot version {version} is not known to this version of Flux; upgrade it")
    return bytes(body[_PREFIX.size :])


def _frames(compressed: bytes) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor().stream_reader(compressed)
    while True:
        prefix = reader.read(_LENGTH.size)
        if len(prefix) < _LENGTH.size:
            return
        (length,) = _LENGTH.unpack(prefix)
        yield reader.read(length)


def _state(header: Header, frames: Iterator[bytes]) -> PartitionState:
    state = PartitionState(header.partition, header.sequence, header.clock_us, header.events_total)
    state.committers = dict(header.committers)
    state.poison = [SetAside(position, reason) for position, reason in header.poison]
    ids: dict[bool, list[str]] = {True: [], False: []}
    for frame in frames:
        decoded: Rows | Ids | Trailer = _decode_part(frame)
        match decoded:
            case Rows() as part:
                for row in part.rows:
                    state.adopt(EntityActor.from_row(row, 0))
            case Ids() as part:
                ids[part.elder] += part.ids
            case Trailer() as part:
                if (part.entities, part.ids) != (len(state.entities), len(ids[True]) + len(ids[False])):
                    raise Corrupt("a snapshot holds another number of entities than it announces")
                state.window = DedupeWindow(
                    Generation.of(header.elder_start_us, ids[True]),
                    Generation.of(header.younger_start_us, ids[False]),
                )
                return state
    raise Corrupt("a snapshot ends before its last frame")
