"""Which event ids were seen lately.

A retry carries the eventId of the first try, and the first one wins. The window remembers every id
for at least two minutes of the log's clock and at least 100,000 events, in two generations: ids go
into the younger; when it is old and full enough, it becomes the elder and the former elder is
forgotten. Rotation follows the log's clock and count alone, so live, replay and restart agree.

A generation keeps its ids in a list too: append-only, so a snapshot can take a consistent cut of it
(list and length) at once and write it slice by slice while new ids arrive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from flux_actors import limits


@dataclass(slots=True)
class Generation:
    """Ids that arrived since `start_us`, in log order."""

    start_us: int = 0
    ids: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, start_us: int, ids: Iterable[str]) -> Generation:
        """Rebuild a generation from its ids."""
        kept = list(ids)
        return cls(start_us, kept, set(kept))


def dedupe_key(namespace: str, event_id: str) -> str:
    """Return the key of an id within its namespace; no namespace holds a NUL."""
    return f"{namespace}\0{event_id}"


class DedupeWindow:
    """The ids of two generations."""

    __slots__ = ("elder", "younger")

    def __init__(self, elder: Generation | None = None, younger: Generation | None = None) -> None:
        self.elder = elder or Generation()
        self.younger = younger or Generation()

    def seen(self, key: str) -> bool:
        """Whether `key` was remembered."""
        return key in self.younger.known or key in self.elder.known

    def remember(self, key: str, clock_us: int) -> None:
        """Remember `key`, which was not seen, at the log's time `clock_us`."""
        self._rotate(clock_us)
        self.younger.ids.append(key)
        self.younger.known.add(key)

    def _rotate(self, clock_us: int) -> None:
        younger = self.younger
        if not younger.ids:
            younger.start_us = clock_us
        full = len(younger.ids) >= limits.dedupe_events_min
        if full and clock_us - younger.start_us >= limits.dedupe_window_s * 1_000_000:
            self.elder, self.younger = younger, Generation(clock_us)
