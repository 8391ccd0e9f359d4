"""Causes: what led to an effect, and which effects came before.

An effect is an event that a handler published. It names the message that caused it and its number among the
effects of that message, so it can be told from all others, and counts once however often it is published: a
crash between the two steps "publish the effects" and "note that the message is done" has it published again.

The work of one entity is done message by message, and the effects on a partition are published in order. So
of each entity that causes anything here one place is enough: what is not behind it came before. And since
each effect says up to where all messages of its partition are done, places further back are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

_FEW: Final = 1_000
_NOWHERE: Final = (-1, -1)


class Cause(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What led to an effect."""

    partition: int
    entity_id: str
    position: int  # packed, of the message
    index: int  # of the effect among those of the message
    settled: int  # of that partition: all messages in front of this packed position are done
    depth: int = 1  # how many effects led to one another, this one counted


class Causes:
    """The effects that one partition has seen."""

    def __init__(self) -> None:
        self._of: dict[int, _Origin] = {}

    def admit(self, cause: Cause) -> bool:
        """Remember an effect; return whether it is a new one."""
        origin = self._of.get(cause.partition)
        if origin is None:
            origin = self._of[cause.partition] = _Origin()
        return origin.admit(cause)

    def rows(self) -> list[Any]:
        """Return all of it for a snapshot."""
        return [[partition, origin.settled, origin.rows()] for partition, origin in self._of.items()]

    @classmethod
    def of(cls, rows: Iterable[Any]) -> Causes:
        """Rebuild from `rows`."""
        causes = cls()
        for partition, settled, places in rows:
            origin = causes._of[partition] = _Origin(settled)
            origin.last = {entity_id: (position, index) for entity_id, position, index in places}
        return causes


class _Origin:
    """What came from one partition."""

    def __init__(self, settled: int = 0) -> None:
        self.settled = settled
        self.last: dict[str, tuple[int, int]] = {}
        self._forget_at = _FEW

    def admit(self, cause: Cause) -> bool:
        place = (cause.position, cause.index)
        if cause.position < self.settled or place <= self.last.get(cause.entity_id, _NOWHERE):
            return False
        self.last[cause.entity_id] = place
        self.settled = max(self.settled, cause.settled)
        if len(self.last) > self._forget_at:
            self._forget()
            self._forget_at = 2 * len(self.last) + _FEW
        return True

    def rows(self) -> list[tuple[str, int, int]]:
        self._forget()
        return [(entity_id, *place) for entity_id, place in self.last.items()]

    def _forget(self) -> None:
        """Forget what is refused as settled anyway."""
        settled = self.settled
        self.last = {entity_id: place for entity_id, place in self.last.items() if place[0] >= settled}
