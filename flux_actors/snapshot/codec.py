"""The snapshot format.

    magic "FLUXSNAP" | version u16 | zstd stream of frames | blake2b-256 of all before it

A frame is a length (u32) and a msgpack value. The first holds the `Header`, then come frames of
dedupe ids, of messages that wait for behaviours and of entity rows, the last one is the `Trailer`, whose
counts must match: a file that was cut short or changed anywhere does not verify.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final, cast

import msgspec
import zstandard

from flux_actors.domain.acting.acting import Acting, ActingFault
from flux_actors.domain.acting.catalogue import Catalogue
from flux_actors.domain.acting.causes import Causes
from flux_actors.domain.acting.messages import Message
from flux_actors.domain.acting.reduced import EverReduced
from flux_actors.domain.dedupe import DedupeWindow, Generation
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.fold import PartitionState, SetAside
from flux_actors.errors import Corrupt

MAGIC: Final = b"FLUXSNAP"
VERSION: Final = 3  # 2 since entities may have leases, 3 since they may have behaviours
_KNOWN: Final = (1, 2, VERSION)
_PREFIX: Final = struct.Struct(">8sH")
_LENGTH: Final = struct.Struct(">I")
_DIGEST_BYTES: Final = 32
_PIECE_BYTES: Final = 1 << 20
_FRAME_BYTES_MAX: Final = 1 << 30  # bytes that are not verified yet must not ask for all memory
_UNDECODABLE: Final = (msgspec.DecodeError, ValueError, StopIteration, RuntimeError, zstandard.ZstdError)
_LEVEL: Final = 1  # measured: level 3 saves 6 % more and costs twice the time


class Behaviours(msgspec.Struct, array_like=True, frozen=True):
    """What a partition knows of behaviours, beside the messages that wait."""

    catalogue: Catalogue
    causes: list[Any]
    stopped: dict[str, str]
    suspended: list[ActingFault] = []
    ever_reduced: list[str] = []

    @classmethod
    def none(cls) -> Behaviours:
        """Return what a state has of it that never heard of any."""
        return cls(Catalogue(), [], {})

    @classmethod
    def of(cls, acting: Acting) -> Behaviours:
        """Return what a state has of it."""
        return cls(
            acting.catalogue,
            acting.causes.rows(),
            dict(acting.stopped),
            list(acting.suspended.values()),
            acting.ever_reduced.rows(),
        )


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
    behaviours: Behaviours | None = None


class Rows(msgspec.Struct, array_like=True, frozen=True, tag="rows"):
    """Some entities."""

    rows: list[EntityRow]


class Ids(msgspec.Struct, array_like=True, frozen=True, tag="ids"):
    """Some dedupe ids of one generation."""

    elder: bool
    ids: list[str]


class Waiting(msgspec.Struct, array_like=True, frozen=True, tag="messages"):
    """Some messages of the outbox."""

    messages: list[Message]


class Trailer(msgspec.Struct, array_like=True, frozen=True, tag="end"):
    """What must have come before."""

    entities: int
    ids: int
    messages: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_part = msgspec.msgpack.Decoder(Rows | Ids | Waiting | Trailer).decode


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
        self._messages = 0
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

    def messages(self, messages: list[Message]) -> None:
        """Add messages of the outbox, in its order."""
        self._messages += len(messages)
        self._frame(_encode(Waiting(messages)))

    def take(self) -> bytes:
        """Return the bytes made since the last call."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def finish(self) -> bytes:
        """Return the last bytes."""
        self._frame(_encode(Trailer(self._entities, self._ids, self._messages)))
        self._emit(self._compressor.flush())
        self._out.append(self._digest.digest())
        return self.take()

    def _frame(self, value: bytes) -> None:
        self._emit(self._compressor.compress(_LENGTH.pack(len(value)) + value))

    def _emit(self, data: bytes) -> None:
        if data:
            self._digest.update(data)
            self._out.append(data)


def verify_snapshot(chunks: Iterable[bytes]) -> None:
    """Return if the bytes are those of a whole snapshot; raises `Corrupt`."""
    body = _Body(chunks)
    _check_prefix(body)
    body.verify()


def read_header(chunks: Iterable[bytes]) -> Header:
    """Return what a snapshot says of itself at its beginning; whether it verifies is not known yet.

    Raises:
        Corrupt: the bytes do not begin as those of a snapshot that this code knows.
    """
    body = _Body(chunks)
    try:
        _check_prefix(body)
        return _decode_header(next(_frames(body)))
    except _UNDECODABLE as error:
        raise Corrupt(f"a snapshot does not decode: {error}") from error


def read_snapshot(
    chunks: Iterable[bytes], into: PartitionState | None = None
) -> tuple[Header, PartitionState]:
    """Return the header and the state of a snapshot's bytes, made from the empty state `into` if given.

    Whether they verify is known at their end: one that keeps entities outside memory is filled from bytes
    that were verified before, since a place that refuses damaged rows would look like one that is full.

    Raises:
        Corrupt: the bytes do not verify, or are of a version this code does not know.
        Unavailable: there is no room for the entities that `into` keeps outside memory.
    """
    body = _Body(chunks)
    try:
        _check_prefix(body)
        frames = _frames(body)
        header = _decode_header(next(frames))
        state = _state(header, frames, into or PartitionState(header.partition))
    except _UNDECODABLE as error:
        raise Corrupt(f"a snapshot does not decode: {error}") from error
    body.verify()
    return header, state


class _Body:
    """A snapshot's bytes but for the digest at their end, as a file; a large one is never held whole."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._pieces = (
            chunk[start : start + _PIECE_BYTES]
            for chunk in chunks
            for start in range(0, len(chunk), _PIECE_BYTES)
        )
        self._ready = memoryview(b"")
        self._last = b""
        self._digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        while not self._ready:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            data = self._last + piece
            self._ready = memoryview(data)[:-_DIGEST_BYTES]
            self._last = data[-_DIGEST_BYTES:]
        data = bytes(self._ready[:size])
        self._ready = self._ready[size:]
        self._digest.update(data)
        return data

    def verify(self) -> None:
        """Read what is left and compare the checksum; raises `Corrupt`."""
        while self.read(_PIECE_BYTES):
            pass
        if self._digest.digest() != self._last:
            raise Corrupt("the checksum of a snapshot does not match its content")


def _check_prefix(body: _Body) -> None:
    prefix = body.read(_PREFIX.size)
    while 0 < len(prefix) < _PREFIX.size and (more := body.read(_PREFIX.size - len(prefix))):
        prefix += more
    if len(prefix) < _PREFIX.size:
        raise Corrupt("a snapshot is shorter than its frame")
    magic, version = _PREFIX.unpack(prefix)
    if magic != MAGIC or version not in _KNOWN:
        raise Corrupt(f"snapshot version {version} is not known to this version of Flux; upgrade it")


def _frames(body: _Body) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor().stream_reader(cast("IO[bytes]", body))
    while True:
        prefix = reader.read(_LENGTH.size)
        if len(prefix) < _LENGTH.size:
            return
        (length,) = _LENGTH.unpack(prefix)
        if length > _FRAME_BYTES_MAX:
            raise Corrupt("a frame of a snapshot is longer than any")
        yield reader.read(length)


def _state(header: Header, frames: Iterator[bytes], state: PartitionState) -> PartitionState:
    state.sequence, state.clock_us, state.events_total = header.sequence, header.clock_us, header.events_total
    state.committers = dict(header.committers)
    state.poison = [SetAside(position, reason) for position, reason in header.poison]
    if header.behaviours is not None:
        state.acting.ever_reduced = EverReduced(header.behaviours.ever_reduced)
        state.acting.take(header.behaviours.catalogue)
        state.acting.causes = Causes.of(header.behaviours.causes)
        state.acting.stopped = dict(header.behaviours.stopped)
        state.acting.suspended = {fault.entity_id: fault for fault in header.behaviours.suspended}
    ids: dict[bool, list[str]] = {True: [], False: []}
    for frame in frames:
        decoded: Rows | Ids | Waiting | Trailer = _decode_part(frame)
        match decoded:
            case Rows() as part:
                state.adopt_rows(part.rows)
            case Ids() as part:
                ids[part.elder] += part.ids
            case Waiting() as part:
                for message in part.messages:
                    state.acting.outbox.add(message)
            case Trailer() as part:
                found = (state.known, len(ids[True]) + len(ids[False]), len(state.acting.outbox))
                if (part.entities, part.ids, part.messages) != found:
                    raise Corrupt("a snapshot holds another number of entities than it announces")
                state.window = DedupeWindow(
                    Generation.of(header.elder_start_us, ids[True]),
                    Generation.of(header.younger_start_us, ids[False]),
                )
                return state
    raise Corrupt("a snapshot ends before its last frame")
