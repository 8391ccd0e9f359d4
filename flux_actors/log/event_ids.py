"""Ids for events that came without one: UUIDv7, many from one call of the generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flux_actors.surroundings import HERE

_LAST: Final = [f"{number:03x}" for number in range(0x1000)]  # the last 12 of a UUIDv7's 74 random bits


class EventIds:
    """Ids that sort by the millisecond they were made in and never come twice.

    The time and 62 random bits are drawn once a millisecond (or for 4,096 ids), the rest is counted, as
    RFC 9562 allows: 0.06 µs an id instead of 0.17.
    """

    def __init__(self, draw: Callable[[], str] = HERE.event_id) -> None:
        self._draw_one = draw
        self._now_ms = -1
        self._prefix = ""
        self._next = len(_LAST)

    def take(self, now_ms: int) -> str:
        """Return a new id; `now_ms` is the time in epoch milliseconds."""
        if now_ms != self._now_ms or self._next == len(_LAST):
            self._draw(now_ms)
        suffix = _LAST[self._next]
        self._next += 1
        return self._prefix + suffix

    def take_many(self, now_ms: int, count: int) -> list[str]:
        """Return new ids."""
        if now_ms != self._now_ms:
            self._draw(now_ms)
        found: list[str] = []
        while len(found) < count:
            if self._next == len(_LAST):
                self._draw(now_ms)
            prefix = self._prefix
            suffixes = _LAST[self._next : self._next + count - len(found)]
            found += [prefix + suffix for suffix in suffixes]
            self._next += len(suffixes)
        return found

    def _draw(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._prefix = self._draw_one()[:-3]
        self._next = 0
