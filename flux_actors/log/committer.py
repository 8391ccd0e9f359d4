"""The committer: many publishes, few fsyncs.

One committer per (door, partition). Whoever wants to publish hands over a piece (encoded events, no more
than one block takes) and is called back. While a block is in flight everything new piles up; when it is
acknowledged, all that waits goes as the next block. No timer: an idle committer sends at once, a busy one
fills its blocks by itself, and between the two it looks for a moment who comes again (`_gather`). One block
in flight coalesces best (docs/decisions/002).

A block that got no answer is sent again under the same id until its deadline; after that its pieces
fail with `Unavailable`, and whoever waited longer than the deadline fails with them. A late copy of a
failed block is harmless: its number is behind its successor's, so the fold skips it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, NamedTuple

import structlog

from flux_actors import limits
from flux_actors.domain.position import Packed, pack
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.block import encode_block
from flux_actors.log.commit_meter import CommitMeter
from flux_actors.log.ports import EventLog

_log = structlog.get_logger(__name__)
Outcome = Packed | Unavailable
Settled = Callable[[Outcome], None]
_FULL: Final = "too many publishes are waiting for the log; send again in a second"


class Piece(NamedTuple):
    """Events that go into a block together."""

    data: bytes  # the encoded events, one behind the other
    events: int
    settled: Settled  # hears the position of the first one (the others follow it), or why there is none
    since: float
    termed: bool = False  # some of the events have terms


class Committer:
    """Commits events to one partition of the log, one block at a time."""

    def __init__(
        self,
        log: EventLog,
        partition: int,
        identity: int,
        now_us: Callable[[], int],
        block_events_max: int | None = None,
        meter: CommitMeter | None = None,
    ) -> None:
        self._block_events_max = block_events_max
        self._meter = CommitMeter() if meter is None else meter
        self._log = log
        self._partition = partition
        self._identity = identity
        self._now_us = now_us
        self._queue: deque[Piece] = deque()
        self._queued_events = 0
        self._queued_bytes = 0
        self._number = 0
        self._clock_us = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._given_up = False
        self.blocks_total = 0
        self.events_total = 0
        self.taken_total = 0  # pieces that were put
        self.settled_total = 0  # of them, in the same order

    @property
    def waiting(self) -> tuple[int, int]:
        """How many events wait for a block, and their bytes."""
        return self._queued_events, self._queued_bytes

    @property
    def event_bytes_max(self) -> int:
        """The largest event that a block can carry alone."""
        return self._log.payload_bytes_max - limits.block_overhead_bytes_max

    @property
    def piece_bytes_max(self) -> int:
        """The largest piece of more than one event."""
        return min(limits.block_bytes_max, self.event_bytes_max)

    @property
    def piece_events_max(self) -> int:
        """The most events in a piece."""
        return self._block_events_max or limits.block_events_max

    def put(self, data: bytes, count: int, settled: Settled, *, termed: bool = False) -> None:
        """Have a piece committed; `settled` is called when it is durable, or known not to be.

        `termed` says that some of its events have terms.

        Raises:
            Refused: 413, the piece is larger than the log's largest message.
            Unavailable: the queue is full or the committer is closed.
        """
        self._admit(len(data), count)
        self._add(data, count, settled, termed=termed)

    async def commit(self, encoded: Sequence[bytes], *, termed: bool = False) -> list[Outcome]:
        """Return each event's position once it is durable, or why it is not; raises as `put` does."""
        if not encoded:
            return []
        self._admit(sum(map(len, encoded)), len(encoded), max(map(len, encoded)))
        loop = asyncio.get_running_loop()
        waits: list[tuple[int, asyncio.Future[Outcome]]] = []
        for piece in self._pieces(encoded):
            waiting: asyncio.Future[Outcome] = loop.create_future()
            self._add(b"".join(piece), len(piece), _answer(waiting), termed=termed)
            waits.append((len(piece), waiting))
        return [outcome for count, waiting in waits for outcome in _each(await waiting, count)]

    def give_up(self) -> None:
        """Try nothing again: the log takes no more writes, for good, and whoever waits is told so."""
        self._closed = self._given_up = True

    async def close(self) -> None:
        """Refuse new publishes and let those in the queue finish."""
        self._closed = True
        if self._task is not None:
            await self._task

    def _admit(self, size: int, count: int, largest: int | None = None) -> None:
        if self._closed:
            raise Unavailable("this door is closing; send again to reach another")
        if (size if largest is None else largest) > self.event_bytes_max:
            raise Refused(f"an event may have at most {self.event_bytes_max} bytes in this log", 413)
        if self._queue and (
            self._queued_events + count > limits.queue_events_max
            or self._queued_bytes + size > limits.queue_bytes_max
        ):
            raise Unavailable(_FULL)

    def _add(self, data: bytes, count: int, settled: Settled, *, termed: bool = False) -> None:
        loop = self._loop
        if loop is None:  # asked once: each time it costs a system call (getpid), 15 % of a busy door
            loop = self._loop = asyncio.get_running_loop()
        self._queue.append(Piece(data, count, settled, loop.time(), termed))
        self.taken_total += 1
        self._queued_events += count
        self._queued_bytes += len(data)
        if self._task is None:
            self._task = loop.create_task(self._run())

    def _pieces(self, encoded: Sequence[bytes]) -> Iterator[list[bytes]]:
        """Cut events into pieces, each as large as a block takes."""
        piece: list[bytes] = []
        size = 0
        for event in encoded:
            if piece and (size + len(event) > self.piece_bytes_max or len(piece) == self.piece_events_max):
                yield piece
                piece, size = [], 0
            piece.append(event)
            size += len(event)
        yield piece

    async def _run(self) -> None:
        while self._queue:
            pieces = self._take()
            outcome = await self._outcome(pieces)
            _settle(pieces, outcome)
            self.settled_total += len(pieces)
            if isinstance(outcome, Unavailable):
                self._meter.failures += sum(piece.events for piece in pieces)
                self._give_up_older(outcome)
            else:
                await self._gather(len(pieces))
        self._task = None

    async def _gather(self, answered: int) -> None:
        """Let those who were just answered come again, for a moment, before the next block goes.

        Few publishers come back one by one while the others are still being answered: the first of them would
        have a block alone, and the rest would wait for it. What one or two sent goes at once, and what fills
        blocks by itself needs no help.
        """
        low, high = limits.gather_pieces_range
        if not low <= answered <= high:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + limits.gather_s
        for _ in range(limits.gather_turns):
            if len(self._queue) >= answered or loop.time() >= until:
                return
            await asyncio.sleep(0)

    def _take(self) -> list[Piece]:
        """Return the pieces of the next block."""
        queue = self._queue
        first = queue.popleft()
        pieces, size, count = [first], len(first.data), first.events
        bytes_max, events_max = self.piece_bytes_max, self.piece_events_max
        while queue:
            piece = queue[0]
            if size + len(piece.data) > bytes_max or count + piece.events > events_max:
                break
            pieces.append(queue.popleft())
            size += len(piece.data)
            count += piece.events
        self._queued_events -= count
        self._queued_bytes -= size
        return pieces

    async def _outcome(self, pieces: list[Piece]) -> int | Unavailable:
        try:
            return await self._append(pieces)
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever, whatever went wrong
            _log.exception("commit.fault", partition=self._partition)
            return Unavailable(f"the log could not be written ({type(error).__name__}); send again")

    async def _append(self, pieces: list[Piece]) -> int | Unavailable:
        self._number += 1
        self._clock_us = max(self._clock_us, self._now_us())
        count = sum([piece.events for piece in pieces])
        encoded = [piece.data for piece in pieces]
        termed = any(piece.termed for piece in pieces)
        data = encode_block(self._identity, self._number, self._clock_us, encoded, count, termed=termed)
        block_id = f"{self._identity:x}-{self._number}"
        loop = asyncio.get_running_loop()
        deadline = max(pieces[0].since + limits.append_deadline_s, loop.time() + limits.append_timeout_s)
        began = loop.time()
        while True:
            try:
                sequence = await self._send(data, block_id)
            except Unavailable as error:
                if self._given_up or loop.time() + limits.append_retry_s >= deadline:
                    return error
                self._meter.retries += 1
                await asyncio.sleep(limits.append_retry_s)
            else:
                self.blocks_total += 1
                self.events_total += count
                now = loop.time()
                self._meter.durable(now - pieces[0].since, now - began, count, len(data))
                return sequence

    def _send(self, data: bytes, block_id: str) -> Awaitable[int]:
        return self._log.append(self._partition, data, block_id, limits.append_timeout_s)

    def _give_up_older(self, error: Unavailable) -> None:
        oldest = asyncio.get_running_loop().time() - limits.append_deadline_s
        while self._queue and self._queue[0].since <= oldest:
            piece = self._queue.popleft()
            self._queued_events -= piece.events
            self._queued_bytes -= len(piece.data)
            _settle([piece], error)
            self._meter.failures += piece.events
            self.settled_total += 1


def _settle(pieces: list[Piece], outcome: int | Unavailable) -> None:
    """Tell each piece; one whose listener fails takes no other with it."""
    offset = 0
    for piece in pieces:
        try:
            piece.settled(outcome if isinstance(outcome, Unavailable) else pack(outcome, offset))
        except Exception:  # noqa: BLE001 - its neighbours are durable and must hear of it
            _log.exception("commit.listener_failed")
        offset += piece.events


def _answer(waiting: asyncio.Future[Outcome]) -> Settled:
    def settled(outcome: Outcome) -> None:
        if not waiting.done():
            waiting.set_result(outcome)

    return settled


def _each(first: Outcome, count: int) -> list[Outcome]:
    """Return the outcome of every event of a piece."""
    if isinstance(first, Unavailable):
        return [first] * count
    return [Packed(first + offset) for offset in range(count)]
