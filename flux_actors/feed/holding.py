"""What is held back for a subscription until its base is in.

The base comes in parts, and each says up to which position it is true for a range of ids. What it has in it
is not told again: held changes of that range, or of ids behind it (later parts are newer still), up to that
position are dropped. The rest waits, rendered, and goes out when the base is complete.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NamedTuple

from flux_actors import limits
from flux_actors.domain.change import Change

_HELD_BYTES: Final = 200  # what one takes beside its frames
_LAST: Final = "\U0010ffff" * limits.entity_id_bytes_max  # no id is behind it


class Held(NamedTuple):
    """A change that waits, as frames or as it is."""

    entity_id: str
    partition: int
    position: int
    frames: bytes = b""
    change: Change | None = None


class Total:
    """How much all holdings of a door hold."""

    def __init__(self) -> None:
        self.size = 0


class Holding:
    """What waits for one subscription, and what its base has in it."""

    def __init__(self, total: Total | None = None) -> None:
        self._total = total or Total()
        self.held: list[Held] = []
        self.size = 0
        self._ends: dict[int, list[str]] = {}
        self._as_of: dict[int, list[int]] = {}
        self._many = limits.held_few  # more are looked through when a part comes

    @property
    def full(self) -> bool:
        """Whether more waits than may."""
        return (
            len(self.held) > limits.held_changes_max
            or self.size > limits.held_bytes_max
            or (bool(self.held) and self._total.size > limits.all_held_bytes_max)
        )

    @property
    def reaches(self) -> dict[int, int]:
        """Up to which position the base is true, by partition: at its newest part."""
        return {partition: max(positions) for partition, positions in self._as_of.items()}

    def put(self, held: Held) -> None:
        """Hold a change, unless the base has it in it."""
        if not self.has(held):
            self.held.append(held)
            self.size += _size_of(held)
            self._total.size += _size_of(held)

    def cover(self, partition: int, end: str | None, as_of: int) -> None:
        """Take a part of the base: ids up to `end`, `None` for all others, as they were at `as_of`."""
        ends = self._ends.setdefault(partition, [])
        begin = ends[-1] if ends else ""
        ends.append(_LAST if end is None else end)
        self._as_of.setdefault(partition, []).append(as_of)
        if len(self.held) > self._many:
            self._look_through(partition, begin, as_of)

    def uncover(self) -> None:
        """Go without the parts that came: another base is told instead."""
        self._ends, self._as_of = {}, {}

    def clear(self) -> None:
        """Drop all that waits."""
        self._keep([])

    def take(self, bytes_max: int) -> list[Held]:
        """Take the first of what waits, about `bytes_max` of it."""
        taken: list[Held] = []
        size = count = 0
        while count < len(self.held) and size < bytes_max:
            held = self.held[count]
            count += 1
            if not self.has(held):
                taken.append(held)
                size += len(held.frames)
        self._keep(self.held[count:])
        return taken

    def release(self, partition: int) -> list[Held]:
        """Take what waits of the ids that the base has come to in a partition."""
        released = [held for held in self.held if held.partition == partition and self.covers(held)]
        if released:
            self._keep([held for held in self.held if held.partition != partition or not self.covers(held)])
        return [held for held in released if not self.has(held)]

    def covers(self, held: Held) -> bool:
        """Whether the base has come to the id of a change."""
        ends = self._ends.get(held.partition, ())
        return len(ends) > 0 and held.entity_id <= ends[-1]

    def has(self, held: Held) -> bool:
        """Whether the base has a change in it."""
        ends = self._ends.get(held.partition)
        if ends is None:
            return False
        index = bisect_left(ends, held.entity_id)
        return index < len(ends) and held.position <= self._as_of[held.partition][index]

    def _look_through(self, partition: int, begin: str, as_of: int) -> None:
        """Drop what a part has in it that begins behind the id `begin`, and what later parts will have."""
        self._keep(
            [
                held
                for held in self.held
                if held.partition != partition or held.position > as_of or (begin and held.entity_id <= begin)
            ]
        )
        self._many = max(limits.held_few, 2 * len(self.held))

    def _keep(self, held: list[Held]) -> None:
        self.held = held
        self._total.size -= self.size
        self.size = sum(map(_size_of, held))
        self._total.size += self.size


def _size_of(held: Held) -> int:
    return len(held.frames) + _HELD_BYTES
