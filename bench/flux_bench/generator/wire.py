"""Messages on the pipe to the generator: four bytes of length, then the bytes."""

from __future__ import annotations

from typing import IO


def read_message(stream: IO[bytes]) -> bytes | None:
    """Return the next message, `None` at the end."""
    size = stream.read(4)
    return stream.read(int.from_bytes(size, "big")) if len(size) == 4 else None


def write_message(stream: IO[bytes], data: bytes) -> None:
    """Write one message, all of it: with PYTHONUNBUFFERED set, one write may take only a part."""
    rest = memoryview(len(data).to_bytes(4, "big") + data)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()
