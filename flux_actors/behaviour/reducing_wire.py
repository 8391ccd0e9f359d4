"""What a shard and its reducer process say to each other: frames of msgpack over a pair of sockets.

The shard sends the bounds, then codes and calls. A call is answered by parts, the last of which says so.
Beside that both look at one small piece of memory, the mark: where the child is, should it not come back.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final, NamedTuple

import msgspec

from flux_actors import limits
from flux_actors.domain.acting.reducers import Reduced, ReduceRun

_LENGTH: Final = struct.Struct("<I")
_MARK: Final = struct.Struct("<QQQ")
MARK_BYTES: Final = _MARK.size
PART_BYTES: Final = 1 << 20  # a part is sent when it has so many
MEMORY_STATUS: Final = 77  # with which a child ends that has no memory left


class ReduceBounds(msgspec.Struct, array_like=True, frozen=True):
    """What reducers may take.

    Arguments:
        cpu_s: processor time of one event; then it is interrupted.
        cpu_hard_s: then the process is killed.
        load_cpu_s: processor time to load code.
        sleep_s: how long it may neither work nor want to.
        memory_bytes: address space of the process.
        state_bytes_max: of one new state, encoded.
        look_s: between two looks at it.
    """

    cpu_s: float = limits.reduce_cpu_s
    cpu_hard_s: float = limits.reduce_cpu_hard_s
    load_cpu_s: float = limits.reduce_load_cpu_s
    sleep_s: float = limits.reduce_sleep_s
    memory_bytes: int = limits.reduce_memory_bytes_max
    state_bytes_max: int = limits.reduce_state_bytes_max
    look_s: float = limits.reduce_look_s


class Code(msgspec.Struct, array_like=True, frozen=True, tag="code"):
    """A code that calls may name."""

    digest: str
    code: bytes


class Call(msgspec.Struct, array_like=True, frozen=True, tag="call"):
    """Runs of one partition."""

    partition: int
    runs: list[ReduceRun]


class Part(msgspec.Struct, array_like=True, frozen=True):
    """What came of some runs, by their numbers."""

    runs: list[tuple[int, list[Reduced]]]
    last: bool


class Place(NamedTuple):
    """Where a child is."""

    run: int  # -1: nowhere
    fact: int
    loads: bool


class MarkMemory:
    """The mark, in memory that both processes have."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    def loads(self, run: int) -> None:
        _MARK.pack_into(self._memory, 0, run + 1, 0, 1)

    def reduces(self, run: int, fact: int) -> None:
        _MARK.pack_into(self._memory, 0, run + 1, fact, 0)

    def clear(self) -> None:
        """Nothing of a user's runs."""
        _MARK.pack_into(self._memory, 0, 0, 0, 0)

    @property
    def place(self) -> Place:
        """Where the child is."""
        run, fact, loads = _MARK.unpack_from(self._memory, 0)
        return Place(run - 1, fact, bool(loads))


encode: Final = msgspec.msgpack.Encoder().encode
decode_request: Final = msgspec.msgpack.Decoder(Code | Call).decode
decode_bounds: Final = msgspec.msgpack.Decoder(ReduceBounds).decode
decode_part: Final = msgspec.msgpack.Decoder(Part).decode


def send(line: socket.socket, message: bytes) -> None:
    """Send a frame."""
    line.sendall(_LENGTH.pack(len(message)) + message)


class FrameReader:
    """Reads frames; a timeout of the socket in between loses nothing."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._come = bytearray()

    def read(self) -> bytes:
        """Return the next frame.

        Raises:
            EOFError: the other side is gone.
            TimeoutError: it did not come in time; read again.
        """
        while True:
            come = self._come
            if len(come) >= _LENGTH.size:
                end = _LENGTH.size + _LENGTH.unpack_from(come)[0]
                if len(come) >= end:
                    frame = bytes(memoryview(come)[_LENGTH.size : end])
                    self._come = come[end:]
                    return frame
            data = self._line.recv(PART_BYTES)
            if not data:
                raise EOFError("the other side is gone")
            come += data
