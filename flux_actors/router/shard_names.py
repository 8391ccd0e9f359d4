"""Names of shards: of a slot, which a successor keeps, and of the epoch of the start, which it does not."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

_NAME: Final = re.compile(r"flux-shard-(\d+)-e(\d+)")


def shard_name(slot: int, epoch: int) -> str:
    """Return the name of the shard that is started for a slot in an epoch."""
    return f"flux-shard-{slot}-e{epoch}"


def is_shard(name: str) -> bool:
    """Whether a name is one of a shard."""
    return _NAME.fullmatch(name) is not None


def slot_of(name: str, taken: Container[int]) -> int:
    """Return the slot that a shard's name tells, or the next one that is free."""
    found = _NAME.fullmatch(name)
    slot = int(found[1]) if found else 0
    while slot in taken:
        slot += 1
    return slot


def epoch_of(name: str) -> int:
    """Return the epoch that a shard's name tells, 0 if it tells none."""
    found = _NAME.fullmatch(name)
    return int(found[2]) if found else 0
