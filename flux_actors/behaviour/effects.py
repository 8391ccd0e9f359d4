"""Publishing effects: in the order in which they are handed over, again and again until they are in the log.

One writer per partition has one piece under way. The next goes when it is durable: the fold takes of each
entity that causes effects only what is behind the last, so one must never overtake another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog

from flux_actors import limits
from flux_actors.domain.position import Packed
from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.committer import Committer, Outcome

_log = structlog.get_logger(__name__)
_AGAIN_S: Final = 0.2
_KEPT_EVENTS_MAX: Final = limits.block_events_max


class _Batch(NamedTuple):
    encoded: Sequence[bytes]
    durable: asyncio.Future[None]


class PartitionWriter:
    """Publishes to one partition."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._queue: deque[_Batch] = deque()
        self._task: asyncio.Task[None] | None = None
        self.position = -1  # of the last event that is durable

    @property
    def idle(self) -> bool:
        """Whether everything is durable."""
        return self._task is None

    def write(self, encoded: Sequence[bytes]) -> asyncio.Future[None]:
        """Have events published behind all before; the future ends when they are durable."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Batch(encoded, durable))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return durable

    async def close(self) -> None:
        """Let go of what is not durable yet: its messages are in the outbox still, and come again."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._committer.close()

    async def _run(self) -> None:
        while self._queue:
            batches = self._take()
            events = [event for batch in batches for event in batch.encoded]
            for piece in self._pieces(events):
                await self._commit(piece)
            for batch in batches:
                if not batch.durable.done():
                    batch.durable.set_result(None)
        self._task = None

    def _take(self) -> list[_Batch]:
        batches = [self._queue.popleft()]
        count = len(batches[0].encoded)
        while self._queue and count + len(self._queue[0].encoded) <= _KEPT_EVENTS_MAX:
            batches.append(self._queue.popleft())
            count += len(batches[-1].encoded)
        return batches

    def _pieces(self, events: list[bytes]) -> list[list[bytes]]:
        """Cut events into pieces that a block takes whole."""
        pieces: list[list[bytes]] = []
        size = 0
        for event in events:
            if (
                not pieces
                or size + len(event) > self._committer.piece_bytes_max
                or len(pieces[-1]) >= self._committer.piece_events_max
            ):
                pieces.append([])
                size = 0
            pieces[-1].append(event)
            size += len(event)
        return pieces

    async def _commit(self, events: list[bytes]) -> None:
        while True:
            try:
                self.position = await self._put(events) + len(events) - 1
            except FluxError as error:
                if not isinstance(error, Unavailable):  # no retry would ever go through
                    _log.error("effects.refused", events=len(events), reason=error.message)
                    return
                _log.warning("effects.waiting", events=len(events), reason=error.message)
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _put(self, events: list[bytes]) -> Packed:
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settled(outcome: Outcome) -> None:
            if not waiting.done():
                waiting.set_result(outcome)

        self._committer.put(b"".join(events), len(events), settled, termed=True)
        outcome = await waiting
        if isinstance(outcome, Unavailable):
            raise outcome
        return outcome


class EffectWriters:
    """The writers of all partitions, made as they are needed."""

    def __init__(self, committer: Callable[[int], Committer]) -> None:
        self._committer = committer
        self._writers: dict[int, PartitionWriter] = {}

    def write(self, partition: int, encoded: Sequence[bytes]) -> asyncio.Future[None]:
        """Have events published to a partition; the future ends when they are durable."""
        writer = self._writers.get(partition)
        if writer is None:
            writer = self._writers[partition] = PartitionWriter(self._committer(partition))
        return writer.write(encoded)

    async def flushed(self) -> None:
        """Return when everything that was handed over before is durable."""
        waits = [writer.write(()) for writer in self._writers.values() if not writer.idle]
        if waits:
            await asyncio.gather(*waits)

    def positions(self) -> dict[int, int]:
        """Return by partition the packed position of the last event that is durable."""
        return {p: writer.position for p, writer in self._writers.items() if writer.position >= 0}

    async def close(self) -> None:
        """Let go of what is not durable."""
        await asyncio.gather(*(writer.close() for writer in self._writers.values()))
