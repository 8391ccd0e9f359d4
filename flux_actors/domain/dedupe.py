"""Which event ids were seen lately.

A retry carries the eventId of the first try, and the first one wins. The window remembers every id
for at least two minutes of the log's clock and at least 100,000 events, in two generations: ids go
into the younger; when it is old and full enough, it becomes the elder and the former elder is
forgotten. Rotation follows the log's clock and count alone, so live, replay and restart agree.

A generation keeps its ids in a list too: append-only, so a snapshot can take a consistent cut of it
(list and length) at once and write it slice by slice while new ids arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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


def dedupe_key(entity_id: str, event_id: str) -> str:
    """Return the key of an id within its entity's namespace; no namespace holds a NUL.

    An event of no entity is of the namespace "", as an entity without one is. `namespace_of` is spelled
    out: this is called for every event whose client named it.
    """
    slash = entity_id.find("/")
    return f"{entity_id[:slash]}\0{event_id}" if slash > 0 else f"\0{event_id}"


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

    def admit(self, keys: Sequence[str], clock_us: int) -> Collection[int]:
        """Remember the keys of one block that were not seen; return the indexes of those that were.

        The same as `seen` and `remember` one by one. A block without a retry, that is nearly every one,
        takes three operations on sets, unless the generations could change within it.
        """
        if not keys:
            return ()
        younger = self.younger
        fresh = set(keys)
        if (
            len(fresh) == len(keys)
            and younger.known.isdisjoint(fresh)
            and self.elder.known.isdisjoint(fresh)
            and not self._may_rotate(len(keys), clock_us)
        ):
            younger.start_us = younger.start_us if younger.ids else clock_us
            younger.ids += keys
            younger.known |= fresh
            return ()
        retries: list[int] = []
        for index, key in enumerate(keys):
            if self.seen(key):
                retries.append(index)
            else:
                self.remember(key, clock_us)
        return retries

    def _may_rotate(self, more: int, clock_us: int) -> bool:
        """Whether the younger generation could become the elder while `more` ids come."""
        younger = self.younger
        full = len(younger.ids) + more > limits.dedupe_events_min
        return full and clock_us - younger.start_us >= limits.dedupe_window_s * 1_000_000

    def _rotate(self, clock_us: int) -> None:
        younger = self.younger
        if not younger.ids:
            younger.start_us = clock_us
        full = len(younger.ids) >= limits.dedupe_events_min
        if full and clock_us - younger.start_us >= limits.dedupe_window_s * 1_000_000:
            self.elder, self.younger = younger, Generation(clock_us)
