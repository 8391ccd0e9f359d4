"""The committer: many publishes, few fsyncs.

One committer per (door, partition). Whoever wants to publish puts encoded events in the queue and
waits. While a block is in flight everything new piles up; when it is acknowledged, all that waits goes
as the next block. No timer: an idle committer sends at once, a busy one fills its blocks by itself.
One block in flight coalesces best (docs/decisions/002).

A block that got no answer is sent again under the same id until its deadline; after that its events
fail with `Unavailable`, and whoever waited longer than the deadline fails with them. A late copy of a
failed block is harmless: its number is behind its successor's, so the fold skips it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from flux_actors import limits
from flux_actors.domain.position import Packed, pack
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.block import encode_block
from flux_actors.log.ports import EventLog

_log = structlog.get_logger(__name__)
Outcome = Packed | Unavailable


class _Waiting:
    """One publish in the queue: its events, how far it was sent, what became of it."""

    __slots__ = ("done", "encoded", "outcomes", "sent", "since")

    def __init__(self, encoded: Sequence[bytes], since: float, done: asyncio.Future[list[Outcome]]) -> None:
        self.encoded = encoded
        self.since = since
        self.done = done
        self.sent = 0
        self.outcomes: list[Outcome] = []

    def settle(self, outcomes: list[Outcome]) -> None:
        """Take the outcomes of the next events; answer when all are known."""
        self.outcomes += outcomes
        if len(self.outcomes) == len(self.encoded) and not self.done.done():
            self.done.set_result(self.outcomes)


class Committer:
    """Commits events to one partition of the log, one block at a time."""

    def __init__(
        self,
        log: EventLog,
        partition: int,
        identity: int,
        now_us: Callable[[], int],
        block_events_max: int | None = None,
    ) -> None:
        self._block_events_max = block_events_max
        self._log = log
        self._partition = partition
        self._identity = identity
        self._now_us = now_us
        self._queue: deque[_Waiting] = deque()
        self._queued_events = 0
        self._queued_bytes = 0
        self._number = 0
        self._clock_us = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.blocks_total = 0
        self.events_total = 0

    @property
    def event_bytes_max(self) -> int:
        """The largest event that a block can carry alone."""
        return self._log.payload_bytes_max - limits.block_overhead_bytes_max

    async def commit(self, encoded: Sequence[bytes]) -> list[Outcome]:
        """Return each event's position once it is durable, or why it is not.

        Raises:
            Refused: 413, an event is larger than the log's largest message.
            Unavailable: the queue is full or the committer is closed.
        """
        if not encoded:
            return []
        size = sum(map(len, encoded))
        self._admit(encoded, size)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(encoded, loop.time(), loop.create_future())
        self._queue.append(waiting)
        self._queued_events += len(encoded)
        self._queued_bytes += size
        if self._task is None:
            self._task = loop.create_task(self._run())
        return await waiting.done

    async def close(self) -> None:
        """Refuse new publishes and let those in the queue finish."""
        self._closed = True
        if self._task is not None:
            await self._task

    def _admit(self, encoded: Sequence[bytes], size: int) -> None:
        if self._closed:
            raise Unavailable("this door is closing; send again to reach another")
        if encoded and max(map(len, encoded)) > self.event_bytes_max:
            raise Refused(f"an event may have at most {self.event_bytes_max} bytes in this log", 413)
        if (
            self._queued_events + len(encoded) > limits.queue_events_max
            or self._queued_bytes + size > limits.queue_bytes_max
        ) and self._queue:
            raise Unavailable("too many publishes are waiting for the log; send again in a second")

    async def _run(self) -> None:
        while self._queue:
            encoded, parts = self._take()
            outcome = await self._outcome(encoded, parts[0][0].since)
            self._settle(parts, outcome)
            if isinstance(outcome, Unavailable):
                self._give_up_older(outcome)
        self._task = None

    def _take(self) -> tuple[list[bytes], list[tuple[_Waiting, int]]]:
        """Return the events of the next block and how many of them each publish gave."""
        bytes_max = min(limits.block_bytes_max, self.event_bytes_max)
        events_max = self._block_events_max or limits.block_events_max
        encoded: list[bytes] = []
        parts: list[tuple[_Waiting, int]] = []
        size = 0
        while self._queue:
            waiting = self._queue[0]
            first = waiting.sent
            for event in waiting.encoded[first:] if first else waiting.encoded:
                if encoded and (size + len(event) > bytes_max or len(encoded) == events_max):
                    break
                encoded.append(event)
                size += len(event)
                waiting.sent += 1
            if waiting.sent > first:
                parts.append((waiting, waiting.sent - first))
            if waiting.sent < len(waiting.encoded):
                break
            self._queue.popleft()
        self._queued_events -= len(encoded)
        self._queued_bytes -= size
        return encoded, parts

    async def _outcome(self, encoded: list[bytes], since: float) -> int | Unavailable:
        try:
            return await self._append(encoded, since)
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever, whatever went wrong
            _log.exception("commit.fault", partition=self._partition)
            return Unavailable(f"the log could not be written ({type(error).__name__}); send again")

    async def _append(self, encoded: list[bytes], since: float) -> int | Unavailable:
        self._number += 1
        self._clock_us = max(self._clock_us, self._now_us())
        data = encode_block(self._identity, self._number, self._clock_us, encoded)
        block_id = f"{self._identity:x}-{self._number}"
        loop = asyncio.get_running_loop()
        deadline = max(since + limits.append_deadline_s, loop.time() + limits.append_timeout_s)
        while True:
            try:
                sequence = await self._log.append(self._partition, data, block_id, limits.append_timeout_s)
            except Unavailable as error:
                if loop.time() + limits.append_retry_s >= deadline:
                    return error
                await asyncio.sleep(limits.append_retry_s)
            else:
                self.blocks_total += 1
                self.events_total += len(encoded)
                return sequence

    def _settle(self, parts: list[tuple[_Waiting, int]], outcome: int | Unavailable) -> None:
        offset = 0
        for waiting, count in parts:
            if isinstance(outcome, Unavailable):
                waiting.settle([outcome] * count)
            else:
                waiting.settle([pack(outcome, offset + index) for index in range(count)])
            offset += count

    def _give_up_older(self, error: Unavailable) -> None:
        oldest = asyncio.get_running_loop().time() - limits.append_deadline_s
        while self._queue and self._queue[0].since <= oldest:
            waiting = self._queue.popleft()
            left = len(waiting.encoded) - waiting.sent
            self._queued_events -= left
            self._queued_bytes -= sum(map(len, waiting.encoded[waiting.sent :]))
            waiting.settle([error] * left)
