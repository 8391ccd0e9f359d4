"""JetStream's streams, consumers and buckets, as far as Flux can tell them from the real ones.

A block is in the stream once a majority has it. Until then it is nowhere: who reads does not see it, and a
new leader may not have it. Its sender is told afterwards, or is not. An id that is known within the window is
answered with the block that has it; one that is being stored is refused. A consumer sends as long as it was
asked for more, lives in memory, and is gone with whoever held it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from flux_actors import limits
from flux_actors.log.ports import Entry, LogBounds, Versioned

_STALE_S: Final = 0.5


class Asked(NamedTuple):
    """A request for more blocks."""

    inbox: str
    blocks: int
    until_s: float


@dataclass(slots=True, eq=False)
class Consumer:
    """Reads a stream for somebody; nothing is acknowledged."""

    name: str
    next: int
    asked: deque[Asked] = field(default_factory=deque)
    left: int = 0  # of the first of `asked`
    sent: int = 0


@dataclass(slots=True, eq=False)
class Appending:
    """A block that was sent and is nowhere yet."""

    data: bytes
    block_id: str
    inbox: str


class Stream:
    """The blocks of one partition."""

    def __init__(self, name: str, log_id: str) -> None:
        self.name = name
        self.log_id = log_id
        self.blocks: dict[int, bytes] = {}
        self.ever: list[bytes] = []  # also those that were purged: what a history is judged by
        self.first = 1
        self.last = 0
        self.appending: dict[str, Appending] = {}
        self.consumers: dict[str, Consumer] = {}
        self.has_leader = True
        self.free_at_s = 0.0  # when the disk has taken all that was sent
        self._ids: dict[str, tuple[int, float]] = {}

    def known(self, block_id: str, now_s: float) -> int | None:
        """Return where a block of that id is, if it came within the window."""
        found = self._ids.get(block_id)
        if found is None or now_s - found[1] > limits.duplicate_window_s:
            return None
        return found[0]

    def store(self, data: bytes, block_id: str, now_s: float) -> int:
        """Add a block and return its sequence."""
        self.last += 1
        self.blocks[self.last] = data
        self.ever.append(data)
        self._ids[block_id] = (self.last, now_s)
        return self.last

    def purge(self, first: int) -> None:
        """Forget what is in front of a sequence."""
        for sequence in range(self.first, min(first, self.last + 1)):
            del self.blocks[sequence]
        self.first = max(self.first, min(first, self.last + 1))

    def bounds(self) -> LogBounds:
        """Return what it holds."""
        return LogBounds(self.first, self.last, self.log_id)


class Bucket:
    """Keys and values with revisions; a read may come from a server that has not the newest yet."""

    def __init__(self) -> None:
        self._values: dict[str, list[tuple[Versioned | None, int, float]]] = {}
        self._revision = 0

    def get(self, key: str, now_s: float, *, stale: bool) -> Versioned | None:
        """Return the value of a key; a `stale` one is at most half a second old."""
        kept = self._values.get(key, [])
        if not kept:
            return None
        if stale and len(kept) > 1 and now_s - kept[-1][2] < _STALE_S:
            return kept[-2][0]
        return kept[-1][0]

    def put(self, key: str, value: bytes, expected: int | None, now_s: float) -> int | None:
        """Store, and return the new revision; `None` when the key has another one than expected."""
        current = self.get(key, now_s, stale=False)
        if expected is not None and expected != (current.revision if current else 0):
            return None
        self._revision += 1
        kept = self._values.setdefault(key, [])
        kept.append((Versioned(value, self._revision), self._revision, now_s))
        return self._revision

    def delete(self, key: str, now_s: float) -> None:
        """Forget a key."""
        self._revision += 1
        self._values.setdefault(key, []).append((None, self._revision, now_s))

    def entries(self) -> list[Entry]:
        """Return all keys with their newest values, oldest first."""
        newest = [(key, kept[-1]) for key, kept in self._values.items()]
        found = [Entry(key, value.value if value else None, revision) for key, (value, revision, _) in newest]
        return sorted(found, key=lambda entry: entry.revision)

    def versions(self, key: str) -> list[bytes]:
        """Return all values that a key ever had."""
        return [value.value for value, _, _ in self._values.get(key, []) if value is not None]
