"""Instances of behaviours, one for each entity: a cache of bounded size, and what an entity may still do.

An instance into which no handler has written anything serves the next entity: one that remembers nothing in
it costs nothing here. An instance is dropped when its entity has failed, is put to sleep, or has another
version. The allowance of effects outlives it: an entity that fails again and again gets no new one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from flux_actors import limits
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.domain.acting.catalogue import Bounds


class Kept:
    """What a worker keeps of an entity."""

    __slots__ = ("_left", "_since_s", "digest", "instance")

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.instance: Behaviour | None = None
        self._left = -1.0  # not counted yet
        self._since_s = 0.0

    @property
    def is_blank(self) -> bool:
        """Whether it is as new: nothing was written into its instance, and no effects were counted."""
        if self._left >= 0.0:
            return False
        return self.instance is None or not getattr(self.instance, "__dict__", True)

    def allow(self, effects: int, bounds: Bounds, now_s: float) -> bool:
        """Whether an entity may have so many effects more now; they count if it may."""
        burst = max(bounds.effects_per_s * limits.effects_burst_s, 1.0)
        if self._left < 0.0:
            self._left = burst
        left = min(burst, self._left + (now_s - self._since_s) * bounds.effects_per_s)
        self._since_s = now_s
        self._left = left
        if effects > left:
            return False
        self._left = left - effects
        return True


class Instances:
    """The entities that were used last; several threads may ask."""

    def __init__(self, most: int = limits.behaviour_instances_max) -> None:
        self._most = most
        self._kept: dict[str, Kept] = {}  # about the longest unused one first
        self._blank: dict[str, Kept] = {}  # one of each version that remembers nothing
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._kept)

    def of(self, entity_id: str, digest: str) -> Kept:
        """Return what is kept of an entity, without an instance of another version; `rest` takes it back."""
        with self._lock:
            kept = self._kept.get(entity_id)
            if kept is None:
                blank = self._blank.pop(digest, None)
                return Kept(digest) if blank is None else blank
        if kept.digest != digest:
            kept.digest, kept.instance = digest, None
        return kept

    def rest(self, entity_id: str, kept: Kept) -> None:
        """Take back what is kept of an entity whose run is over: nothing of one that remembers nothing."""
        with self._lock:
            if kept.is_blank:
                self._kept.pop(entity_id, None)
                self._blank[kept.digest] = kept  # the next entity without one takes it
                return
            if len(self._kept) > self._most // 2:  # with room the order is of no use
                self._kept.pop(entity_id, None)
            self._kept[entity_id] = kept
            if len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def forget(self, entity_ids: Iterable[str]) -> None:
        """Let go of entities."""
        with self._lock:
            for entity_id in entity_ids:
                self._kept.pop(entity_id, None)
