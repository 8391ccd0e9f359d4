"""The ports of the log: what the rest of Flux asks of it, whoever provides it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol


class LogBounds(NamedTuple):
    """What a partition's log holds: sequences `first` to `last`; empty when last < first."""

    first: int
    last: int
    log_id: str  # made with the log; a snapshot of another log must not be used
    origin: int = 1  # where the log began: in front of it there was nothing

    @property
    def whole(self) -> bool:
        """Whether all that ever was in the log still is."""
        return self.first == self.origin


class LogUsage(NamedTuple):
    """What a partition's log takes."""

    blocks: int
    size_bytes: int  # as the log counts it, what it needs around the blocks included


class StoredBlock(NamedTuple):
    """A block as read from the log."""

    sequence: int
    data: bytes
    pending: int  # blocks behind this one when it was sent
    beside: str = ""  # which of its events are followed; no state depends on it
    stored_us: int = 0  # when the log took it, by the log's server; 0 where it does not say


class Versioned(NamedTuple):
    """A value of the key-value store and the revision that compare-and-set names."""

    value: bytes
    revision: int


class Entry(NamedTuple):
    """A key of the store with its newest value, `None` when it was deleted, and its revision."""

    key: str
    value: bytes | None
    revision: int


class Reader(Protocol):
    """Reads one partition from a sequence on, contiguous, without acknowledging."""

    async def pull(self, timeout_s: float) -> list[StoredBlock]:
        """Return the next blocks, waiting up to `timeout_s` for them; none when the log had nothing to say.

        Raises:
            Unavailable: the log cannot be reached; pull again.
            Corrupt: the log no longer holds the next block.
        """
        ...

    async def close(self) -> None:
        """Give back what the reader holds."""
        ...


class EventLog(Protocol):
    """Blocks per partition, durable when `append` returns."""

    @property
    def payload_bytes_max(self) -> int:
        """The largest message the log takes."""
        ...

    async def append(self, partition: int, data: bytes, block_id: str, timeout_s: float) -> int:
        """Store a block durably and return its sequence; the same `block_id` is stored once.

        Raises:
            Unavailable: not known to be stored; appending again with the same id is safe.
        """
        ...

    async def bounds(self, partition: int) -> LogBounds:
        """Return what the partition holds now."""
        ...

    async def usage(self, partition: int) -> LogUsage:
        """Return how much the partition holds now."""
        ...

    async def forget(self, partition: int, first: int) -> None:
        """Forget the blocks in front of sequence `first`, for good; those that are gone already do no harm.

        Raises:
            Unavailable: not known to be forgotten; doing it again is safe.
        """
        ...

    async def block(self, partition: int, sequence: int) -> bytes:
        """Return one block by its sequence.

        Raises:
            Unavailable: the log cannot be reached.
            Corrupt: there is no such block any more.
        """
        ...

    def reader(self, partition: int, after: int) -> Reader:
        """Return a reader of the blocks behind sequence `after`."""
        ...


class TracedLog(EventLog, Protocol):
    """A log that keeps a text beside a block."""

    async def append(
        self, partition: int, data: bytes, block_id: str, timeout_s: float, beside: str = ""
    ) -> int:
        """Store a block as `EventLog` does, and `beside` with it; both are read together."""
        ...


class Rebuilder(Protocol):
    """Builds a log anew: each block at the sequence that it had."""

    @property
    def payload_bytes_max(self) -> int:
        """The largest message the log takes."""
        ...

    async def make(self, partition: int, first: int, log_id: str) -> None:
        """Make a partition's log, whose first block will have the sequence `first`.

        Raises:
            Refused: 409, there is one already. Unavailable: the log cannot be reached.
        """
        ...

    async def append(self, partition: int, sequence: int, blocks: list[bytes]) -> None:
        """Store blocks at `sequence` and behind it; those that are there already are not stored again.

        Raises:
            Unavailable: not known to be stored; appending the same again is safe.
            Refused: 409, it was made here, and by now somebody else has made it anew.
            Corrupt: the log does not end right in front of them.
        """
        ...

    async def bounds(self, partition: int) -> LogBounds:
        """Return what the partition holds now; raises `Corrupt` if there is none."""
        ...


class Stores(Protocol):
    """The key-value stores of one Flux, by name."""

    async def names(self) -> list[str]:
        """Return the names of those that there are, sorted."""
        ...

    async def open(self, name: str) -> KeyValue:
        """Return a store, made if it is not there."""
        ...


class KeyValue(Protocol):
    """A small store with compare-and-set: registry, config, topology, tenants."""

    async def get(self, key: str) -> Versioned | None:
        """Return the value of `key`, `None` when there is none."""
        ...

    async def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        """Store and return the new revision; `expected` 0 means the key must not exist.

        Raises:
            Refused: 409, the revision is no longer `expected`.
        """
        ...

    async def delete(self, key: str) -> None:
        """Forget `key`."""
        ...

    async def keys(self) -> list[str]:
        """Return all keys, sorted."""
        ...

    async def changes(self, after: int) -> list[Entry]:
        """Return what was stored or deleted behind a revision, oldest first; of a key the newest alone."""
        ...


class Subscription(Protocol):
    """A running subscription."""

    async def unsubscribe(self) -> None:
        """End it."""
        ...


class Bus(Protocol):
    """Messages to whoever listens now: at most once, in order per sender."""

    async def publish(self, subject: str, data: bytes) -> None:
        """Send `data` to all present subscribers."""
        ...

    async def subscribe(self, subject: str, receive: Callable[[bytes], Awaitable[None]]) -> Subscription:
        """Have `receive` called with every message, one at a time.

        Raises:
            Unavailable: the bus cannot be reached; nothing is subscribed.
        """
        ...


class Calls(Protocol):
    """Questions to whoever answers for a subject now."""

    async def serve(self, subject: str, answer: Callable[[bytes], Awaitable[bytes]]) -> Subscription:
        """Have `answer` called with every question, several at a time; what it returns is the answer.

        Raises:
            Unavailable: the bus cannot be reached; nobody is asked.
        """
        ...

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        """Return the answer to a question.

        Raises:
            Unavailable: nobody answers for the subject, or not in time.
        """
        ...


class Wire(Bus, Calls, Protocol):
    """Both messages and questions."""


def feed_subject(partition: int) -> str:
    """Return the subject of a partition's feed."""
    return f"flux.feed.{partition}"


DOORS_SUBJECT = "flux.doors"
