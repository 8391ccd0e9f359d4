"""The hub: which socket watches what, and handing each change to those who watch it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flux_actors.domain.change import Change
from flux_api.frames import frames_of
from flux_api.outbox import Outbox

EVERYTHING = "*"


@dataclass(slots=True, eq=False)
class Watcher:
    """A socket: what it asked for and what waits for it."""

    outbox: Outbox = field(default_factory=Outbox)
    patterns: set[str] = field(default_factory=set)
    chose: bool = False  # until its first subscribe it gets everything


class Hub:
    """All watchers of one door, by what they watch: an exact id, `ns/*`, or everything."""

    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()
        self._everything: set[Watcher] = set()
        self._by_id: dict[str, set[Watcher]] = {}
        self._by_prefix: dict[str, set[Watcher]] = {}

    def join(self, watcher: Watcher) -> None:
        """Add a socket that has not chosen yet."""
        self.watchers.add(watcher)
        self._everything.add(watcher)

    def leave(self, watcher: Watcher) -> None:
        """Remove a socket."""
        for pattern in list(watcher.patterns):
            self.unsubscribe(watcher, pattern)
        self._everything.discard(watcher)
        self.watchers.discard(watcher)

    def subscribe(self, watcher: Watcher, pattern: str) -> None:
        """Have `watcher` get what `pattern` names."""
        if not watcher.chose:
            watcher.chose = True
            self._everything.discard(watcher)
        watcher.patterns.add(pattern)
        if pattern == EVERYTHING:
            self._everything.add(watcher)
        else:
            table, key = self._place(pattern)
            table.setdefault(key, set()).add(watcher)

    def unsubscribe(self, watcher: Watcher, pattern: str) -> None:
        """Have `watcher` get no longer what `pattern` alone named."""
        if pattern not in watcher.patterns:
            return
        watcher.patterns.discard(pattern)
        if pattern == EVERYTHING:
            self._everything.discard(watcher)
            return
        table, key = self._place(pattern)
        table[key].discard(watcher)
        if not table[key]:
            del table[key]

    def dispatch(self, changes: list[Change]) -> None:
        """Put each change into the outboxes of its watchers, rendered once."""
        if not self.watchers:
            return
        for change in changes:
            watchers = self._watchers_of(change.entity_id)
            if watchers:
                frames = frames_of(change)
                for watcher in watchers:
                    watcher.outbox.put_change(change, frames)

    def announce(self, frame: str) -> None:
        """Put a message into every outbox that is not full."""
        for watcher in self.watchers:
            if not watcher.outbox.full:
                watcher.outbox.put(frame)

    def _watchers_of(self, entity_id: str) -> set[Watcher]:
        found = self._everything
        exact = self._by_id.get(entity_id)
        if exact:
            found = found | exact
        if self._by_prefix:
            for prefix in _prefixes(entity_id):
                found = found | self._by_prefix.get(prefix, set())
        return found

    def _place(self, pattern: str) -> tuple[dict[str, set[Watcher]], str]:
        if pattern.endswith("/*"):
            return self._by_prefix, pattern[:-1]
        return self._by_id, pattern


def _prefixes(entity_id: str) -> Iterator[str]:
    end = entity_id.find("/")
    while end >= 0:
        yield entity_id[: end + 1]
        end = entity_id.find("/", end + 1)
