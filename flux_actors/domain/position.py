"""Where something stands in the log.

A position is `(partition, sequence, offset in block)`. Inside a partition it is packed into one
integer, `sequence << 12 | offset`, which orders as the log does and costs eight bytes in an index.
Its text, opaque to clients, is `partition.sequence.offset`; several are joined by `~`, highest per
partition, so that one text can speak of a batch that touched many partitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NewType

from flux_actors import limits
from flux_actors.errors import Refused

Packed = NewType("Packed", int)

_OFFSET_MASK: Final = (1 << limits.offset_bits) - 1
_ONE: Final = re.compile(r"(\d{1,5})\.(\d{1,15})\.(\d{1,4})", re.ASCII)
_TEXT_CHARS_MAX: Final = 32_768  # 1,024 partitions, each at its highest


def pack(sequence: int, offset: int) -> Packed:
    """Return the position of event `offset` in block `sequence`."""
    return Packed(sequence << limits.offset_bits | offset)


def unpack(position: Packed) -> tuple[int, int]:
    """Return `(sequence, offset)`."""
    return position >> limits.offset_bits, position & _OFFSET_MASK


def text_of(partition: int, position: Packed) -> str:
    """Return the text of one position; also an entity's ETag, without the quotes."""
    return f"{partition}.{position >> limits.offset_bits}.{position & _OFFSET_MASK}"


def text_of_all(positions: Mapping[int, Packed]) -> str:
    """Return one text for positions in several partitions."""
    return "~".join(text_of(partition, positions[partition]) for partition in sorted(positions))


def highest(positions: Iterable[tuple[int, Packed]]) -> dict[int, Packed]:
    """Return the highest position of each partition."""
    result: dict[int, Packed] = {}
    for partition, position in positions:
        if position > result.get(partition, -1):
            result[partition] = position
    return result


def parse(text: str, partitions: int) -> dict[int, Packed]:
    """Return `{partition: position}` of a client's text; raise `Refused` for one that is none."""
    parts = text.strip().strip('"').split("~") if len(text) <= _TEXT_CHARS_MAX else []
    matches = [_ONE.fullmatch(part) for part in parts]
    numbers = [tuple(map(int, match.groups())) for match in matches if match]
    valid = [n for n in numbers if n[0] < partitions and n[2] <= _OFFSET_MASK]
    if not parts or len(valid) != len(parts):
        raise Refused("this is no position: send the text of an earlier Flux-Position header unchanged")
    return highest((partition, pack(sequence, offset)) for partition, sequence, offset in valid)
