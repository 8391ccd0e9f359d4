"""The in-memory twins of the log's ports: same contract, no server, faults on demand."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from operator import attrgetter

from flux_actors import limits
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.generations import FIRST_GENERATION, origin_of
from flux_actors.log.ports import Entry, LogBounds, LogUsage, StoredBlock, Versioned


@dataclass(slots=True)
class _Partition:
    blocks: dict[int, bytes] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    beside: dict[int, str] = field(default_factory=dict)
    last: int = 0
    grown: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryLog:
    """An `EventLog` in a dictionary; `away` makes it unreachable, `lose_acks` stores without telling."""

    def __init__(self, partitions: int, log_id: str = "memory", generation: int = FIRST_GENERATION) -> None:
        self.log_id = log_id
        self.origin = origin_of(generation)
        self.closed: set[int] = set()  # partitions that take nothing
        self.away = False
        self.lose_acks = 0
        self._partitions = [_Partition(last=self.origin - 1) for _ in range(partitions)]

    @property
    def partitions(self) -> int:
        """How many there are."""
        return len(self._partitions)

    @property
    def payload_bytes_max(self) -> int:
        """The largest message the log takes."""
        return limits.nats_payload_bytes_max

    async def append(
        self, partition: int, data: bytes, block_id: str, timeout_s: float, beside: str = ""
    ) -> int:
        """Store a block once per `block_id`."""
        await asyncio.sleep(0)
        self._check()
        if partition in self.closed:
            raise Unavailable("the log cannot be reached (nobody answers there)")
        kept = self._partitions[partition]
        if block_id not in kept.ids:
            kept.last += 1
            kept.blocks[kept.last] = data
            kept.ids[block_id] = kept.last
            if beside:
                kept.beside[kept.last] = beside
            kept.grown.set()
        if self.lose_acks:
            self.lose_acks -= 1
            raise Unavailable(f"no answer from the log within {timeout_s} s")
        return kept.ids[block_id]

    async def bounds(self, partition: int) -> LogBounds:
        """Return what the partition holds."""
        self._check()
        kept = self._partitions[partition]
        return LogBounds(min(kept.blocks, default=kept.last + 1), kept.last, self.log_id, self.origin)

    async def usage(self, partition: int) -> LogUsage:
        """Return how much the partition holds."""
        self._check()
        blocks = self._partitions[partition].blocks
        return LogUsage(len(blocks), sum(map(len, blocks.values())))

    async def forget(self, partition: int, first: int) -> None:
        """Forget what is in front of `first`."""
        self._check()
        self.trim(partition, first)

    async def block(self, partition: int, sequence: int) -> bytes:
        """Return one block."""
        self._check()
        try:
            return self._partitions[partition].blocks[sequence]
        except KeyError:
            raise Corrupt(f"block {sequence} is not in the log of partition {partition}") from None

    def reader(self, partition: int, after: int) -> MemoryReader:
        """Return a reader behind `after`."""
        return MemoryReader(self, partition, after)

    def trim(self, partition: int, first: int) -> None:
        """Forget the blocks before `first`."""
        kept = self._partitions[partition]
        kept.blocks = {sequence: data for sequence, data in kept.blocks.items() if sequence >= first}

    def lose(self, partition: int, sequence: int) -> None:
        """Forget one block in the middle: a log that was damaged."""
        del self._partitions[partition].blocks[sequence]

    def cut_off(self, partition: int, last: int) -> None:
        """Forget the blocks behind `last`: a log that lost its end."""
        kept = self._partitions[partition]
        kept.blocks = {sequence: data for sequence, data in kept.blocks.items() if sequence <= last}
        kept.last = last

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the log cannot be reached")


class MemoryReader:
    """A `Reader` of a `MemoryLog`."""

    def __init__(self, log: MemoryLog, partition: int, after: int) -> None:
        self._log = log
        self._kept = log._partitions[partition]  # noqa: SLF001 - twin and reader are one
        self._partition = partition
        self._last = after

    async def pull(self, timeout_s: float) -> list[StoredBlock]:
        """Return the blocks behind the last one returned."""
        self._log._check()  # noqa: SLF001
        kept = self._kept
        if kept.last < self._last:
            raise Corrupt(f"the log of partition {self._partition} ends before {self._last}, which was read")
        if kept.last <= self._last:
            kept.grown.clear()
            try:
                await asyncio.wait_for(kept.grown.wait(), timeout_s)
            except TimeoutError:
                return []
        sequences = range(self._last + 1, min(kept.last, self._last + limits.pull_blocks) + 1)
        found = [
            StoredBlock(s, kept.blocks[s], kept.last - s, kept.beside.get(s, ""))
            for s in sequences
            if s in kept.blocks
        ]
        if len(found) != len(sequences):
            raise Corrupt(f"the log of partition {self._partition} no longer holds {self._last + 1}")
        self._last = sequences[-1]
        return found

    async def close(self) -> None:
        """Nothing to give back."""


class MemoryRebuilder:
    """A `Rebuilder` of a `MemoryLog` that holds nothing yet."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._made: dict[int, str] = {}  # the ids of the logs that they are of

    @property
    def payload_bytes_max(self) -> int:
        """The largest message the log takes."""
        return self._log.payload_bytes_max

    async def make(self, partition: int, first: int, log_id: str) -> None:
        """Have a partition begin at `first`."""
        self._log._check()  # noqa: SLF001 - twin and rebuilder are one
        if partition in self._made:
            raise Refused(f"there is a log of partition {partition} already", 409)
        self._made[partition] = log_id
        self._log.log_id = log_id
        self._log._partitions[partition].last = first - 1  # noqa: SLF001

    async def append(self, partition: int, sequence: int, blocks: list[bytes]) -> None:
        """Store blocks where they stood."""
        bounds = await self.bounds(partition)
        if self._made.get(partition, bounds.log_id) != bounds.log_id:
            raise Refused(f"the log of partition {partition} was made anew by somebody else", 409)
        kept = self._log._partitions[partition]  # noqa: SLF001
        if kept.last < sequence - 1:
            raise Corrupt(f"the log of partition {partition} ends at {kept.last}, not in front of {sequence}")
        for number, data in enumerate(blocks, sequence):
            if number > kept.last:
                kept.blocks[number] = data
                kept.last = number

    async def bounds(self, partition: int) -> LogBounds:
        """Return what the partition holds."""
        return await self._log.bounds(partition)


class MemoryGenerations:
    """`Generations` of logs in dictionaries, by their numbers."""

    def __init__(self, logs: dict[int, MemoryLog]) -> None:
        self.logs = logs

    async def close(self, generation: int, partition: int, last_block: bytes) -> int:
        """Have a partition take nothing but this block."""
        log = self.logs[generation]
        log.closed.discard(partition)
        name = f"closed-{zlib.crc32(last_block):x}-{(await log.bounds(partition)).last}"
        last = await log.append(partition, last_block, name, 1.0)
        log.closed.add(partition)
        return last

    async def is_open(self, generation: int, partition: int) -> bool:
        """Whether it takes blocks."""
        self.logs[generation]._check()  # noqa: SLF001 - twins are one
        return partition not in self.logs[generation].closed

    async def reopen(self, generation: int, partition: int) -> None:
        """Have it take blocks again."""
        self.logs[generation]._check()  # noqa: SLF001
        self.logs[generation].closed.discard(partition)

    async def remove_earlier(self, generation: int) -> int:
        """Forget logs."""
        return sum(self.logs.pop(number).partitions for number in list(self.logs) if number < generation)

    async def remove_unfinished(self, generation: int, sure: Callable[[], Awaitable[object]]) -> int:
        """Forget logs that are open."""
        found = [number for number, log in self.logs.items() if number > generation and not log.closed]
        removed = 0
        for number in found:
            await sure()
            removed += self.logs.pop(number).partitions
        return removed


class MemoryStores:
    """`Stores` in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, MemoryKeyValue] = {}

    async def names(self) -> list[str]:
        """Return the names of those that there are, sorted."""
        return sorted(self.kept)

    async def open(self, name: str) -> MemoryKeyValue:
        """Return a store."""
        return self.kept.setdefault(name, MemoryKeyValue())


class MemoryKeyValue:
    """A `KeyValue` in a dictionary."""

    def __init__(self) -> None:
        self._values: dict[str, Versioned] = {}
        self._gone: dict[str, int] = {}
        self._revision = 0
        self.away = False  # whether it cannot be reached

    async def get(self, key: str) -> Versioned | None:
        """Return the value of `key`."""
        self._check()
        return self._values.get(key)

    async def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        """Store by compare-and-set."""
        self._check()
        current = self._values.get(key)
        if expected is not None and expected != (current.revision if current else 0):
            raise Refused(f"{key} was changed by somebody else; read it again", 409)
        self._revision += 1
        self._values[key] = Versioned(value, self._revision)
        self._gone.pop(key, None)
        return self._revision

    async def delete(self, key: str) -> None:
        """Forget `key`."""
        self._check()
        self._revision += 1
        self._values.pop(key, None)
        self._gone[key] = self._revision

    async def keys(self) -> list[str]:
        """Return all keys, sorted."""
        self._check()
        return sorted(self._values)

    async def changes(self, after: int) -> list[Entry]:
        """Return what happened behind a revision."""
        self._check()
        kept = [Entry(key, value, revision) for key, (value, revision) in self._values.items()]
        gone = [Entry(key, None, revision) for key, revision in self._gone.items()]
        return sorted((e for e in kept + gone if e.revision > after), key=attrgetter("revision"))

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the log's key-value store cannot be reached")


class MemorySubscription:
    """A subscription of a `MemoryBus`: its messages one after the other, at its own pace."""

    def __init__(
        self, subscriptions: list[MemorySubscription], receive: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self._subscriptions = subscriptions
        self._receive = receive
        self._waiting: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None

    def hand(self, data: bytes) -> None:
        """Queue a message."""
        self._waiting.append(data)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def unsubscribe(self) -> None:
        """End it."""
        self._subscriptions.remove(self)
        self._waiting.clear()

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._receive(self._waiting.popleft())
        finally:
            self._task = None


class MemoryBus:
    """A `Bus` in this process; `drop` loses the next messages."""

    def __init__(self) -> None:
        self.drop = 0
        self._subscriptions: dict[str, list[MemorySubscription]] = {}
        self._services: dict[str, Callable[[bytes], Awaitable[bytes]]] = {}

    async def publish(self, subject: str, data: bytes) -> None:
        """Hand `data` to all subscribers; those that are idle have heard it on return."""
        if self.drop:
            self.drop -= 1
            return
        for subscription in self._subscriptions.get(subject, []):
            subscription.hand(data)
        await asyncio.sleep(0)

    async def subscribe(
        self, subject: str, receive: Callable[[bytes], Awaitable[None]]
    ) -> MemorySubscription:
        """Add a subscriber."""
        subscriptions = self._subscriptions.setdefault(subject, [])
        subscription = MemorySubscription(subscriptions, receive)
        subscriptions.append(subscription)
        return subscription

    async def serve(self, subject: str, answer: Callable[[bytes], Awaitable[bytes]]) -> MemoryService:
        """Answer for a subject."""
        self._services[subject] = answer
        return MemoryService(self._services, subject)

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        """Ask."""
        answer = self._services.get(subject)
        if answer is None:
            raise Unavailable(f"nobody answers for {subject} now; ask again in a second")
        try:
            async with asyncio.timeout(timeout_s):
                return await answer(data)
        except TimeoutError:
            raise Unavailable(f"{subject} did not answer in {timeout_s:g} s; ask again") from None


class MemoryService:
    """Who answers for a subject of a `MemoryBus`."""

    def __init__(self, services: dict[str, Callable[[bytes], Awaitable[bytes]]], subject: str) -> None:
        self._services = services
        self._subject = subject

    async def unsubscribe(self) -> None:
        """Answer no more."""
        self._services.pop(self._subject, None)
