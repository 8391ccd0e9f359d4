"""How far a reader is: one position in each partition that concerns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flux_actors.domain.position import Packed, parse, text_of

_PARTITIONS_MAX: Final = 1_024  # that a log may have


class Place:
    """Moves forward only, partition by partition; `text` is one position for all of them."""

    def __init__(self, positions: Mapping[int, int] | None = None) -> None:
        self._positions: dict[int, int] = {}
        self._texts: dict[int, str] = {}  # in the order of partitions
        for partition, position in (positions or {}).items():
            self.move(partition, position)

    @classmethod
    def of(cls, text: str) -> Place:
        """Return the place of a text; raises `Refused` for one that is none."""
        return cls(positions_of(text))

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._positions)

    @property
    def text(self) -> str:
        """The text."""
        return "~".join(self._texts.values())

    def has(self, partition: int, position: int) -> bool:
        """Whether a reader at this place has what happened at a position."""
        return position <= self._positions.get(partition, -1)

    def move(self, partition: int, position: int) -> None:
        """Move on in one partition, never back."""
        if self.has(partition, position):
            return
        is_new = partition not in self._positions
        self._positions[partition] = position
        self._texts[partition] = text_of(partition, Packed(position))
        if is_new:
            self._texts = dict(sorted(self._texts.items()))


def positions_of(text: str) -> dict[int, Packed]:
    """Return the positions of a text, of whatever log; raises `Refused` for one that is none."""
    return parse(text, _PARTITIONS_MAX)
