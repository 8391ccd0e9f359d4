"""The file format of a run of blocks.

    magic "FLUXBLKS" | version u16 | partition u32 | sequence of the first u64 | zstd stream of blocks

A block is its length (u32) and its bytes as the log has them. The manifest has the checksum of it all.
"""

from __future__ import annotations

import struct
from typing import Final

import zstandard

from flux_actors.errors import Corrupt

MAGIC: Final = b"FLUXBLKS"
VERSION: Final = 1
_HEAD: Final = struct.Struct(">8sHIQ")
_LENGTH: Final = struct.Struct(">I")
_LEVEL: Final = 3


def encode_segment(partition: int, first: int, blocks: list[bytes]) -> bytes:
    """Return the bytes of a run of blocks."""
    body = b"".join(part for block in blocks for part in (_LENGTH.pack(len(block)), block))
    head = _HEAD.pack(MAGIC, VERSION, partition, first)
    return head + zstandard.ZstdCompressor(level=_LEVEL).compress(body)


def decode_segment(data: bytes, partition: int, first: int, last: int) -> list[bytes]:
    """Return the blocks `first` to `last` of a partition.

    Raises:
        Corrupt: these are other bytes, or of a version that this code does not know.
    """
    if len(data) < _HEAD.size:
        raise Corrupt("a file of blocks is shorter than its header")
    magic, version, *where = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise Corrupt("this file holds no blocks")
    if version != VERSION:
        raise Corrupt(
            f"version {version} of files of blocks is not known to this version of Flux; upgrade it"
        )
    try:
        body = zstandard.ZstdDecompressor().decompress(memoryview(data)[_HEAD.size :])
    except zstandard.ZstdError as error:
        raise Corrupt(f"a file of blocks does not decompress: {error}") from None
    blocks = _blocks(body)
    if where != [partition, first] or len(blocks) != last - first + 1:
        raise Corrupt("a file of blocks holds others than its name says")
    return blocks


def _blocks(body: bytes) -> list[bytes]:
    blocks: list[bytes] = []
    at = 0
    while at < len(body):
        if at + _LENGTH.size > len(body):
            raise Corrupt("a file of blocks ends within one")
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if at + length > len(body):
            raise Corrupt("a file of blocks ends within one")
        blocks.append(body[at : at + length])
        at += length
    return blocks
