"""Large batches: a slice at a time, so that nobody waits for the whole.

A batch of 10 MiB takes a door a quarter of a second. First all of it is read and checked, for a body that
is no JSON publishes nothing; then slice after slice is committed and its part of the answer rendered.
Between two slices the door serves others, and what they publish joins the next block instead of waiting
behind the whole batch. A namespace has one large batch under way at a door, and a door a few; the others
wait their turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Self

import structlog

from flux_actors import limits
from flux_actors.domain.event import Envelope, Event
from flux_actors.domain.position import Packed
from flux_actors.errors import FluxError, Unavailable
from flux_actors.tenancy.principal import Principal
from flux_api.answers import batch_answer_of, batch_answer_part
from flux_api.incoming import read_names, read_some, too_deep
from flux_api.publishing import Publisher, into
from flux_api.responses import FAULT
from flux_api.slicing import slices_of
from flux_api.submission import Submission

_log = structlog.get_logger(__name__)
_UNDER_WAY: Final = 2  # slices of a batch: one in the log's hands, one behind it


class Answer(NamedTuple):
    """The answer's body in parts, and the highest position of each partition."""

    parts: list[bytes]
    positions: dict[int, Packed]


class _Checked(NamedTuple):
    """A slice that may be published, and what its events were, or were said to be, before."""

    events: list[Event | FluxError]
    said: list[Any]


class _Batch:
    """A batch under way: whose it is, how many of its events are left, and its place among those of all."""

    __slots__ = ("_placed", "_room", "events", "principal")

    def __init__(self, principal: Principal, room: asyncio.Semaphore) -> None:
        self.principal = principal
        self.events = 0
        self._room = room
        self._placed = False

    async def __aenter__(self) -> Self:
        await self._room.acquire()
        self._placed = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give_place()

    def give_place(self) -> None:
        """Let another batch have the place; what is left of this one holds nobody up."""
        if self._placed:
            self._placed = False
            self._room.release()


class LargeBatches:
    """The large batches of one door."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._lanes: dict[str, asyncio.Lock] = {}
        self._room = asyncio.Semaphore(limits.batches_at_once)
        self._turn = asyncio.Lock()
        self._steps = 0  # since others had more than a turn
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self, body: bytes | bytearray, principal: Principal, done: Callable[[Answer | FluxError], None]
    ) -> None:
        """Publish a batch; `done` hears what became of it."""
        task = asyncio.get_running_loop().create_task(self._tell(body, principal, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def publish(self, body: bytes | bytearray, principal: Principal) -> Answer:
        """Publish a batch and return what became of it.

        Raises:
            Refused: the body is no batch; nothing of it was published.
        """
        async with self._lane(principal.namespace), _Batch(principal, self._room) as batch:
            return await self._commit(await self._read(body, batch), batch)

    async def _tell(
        self, body: bytes | bytearray, principal: Principal, done: Callable[[Answer | FluxError], None]
    ) -> None:
        try:
            done(await self.publish(body, principal))
        except FluxError as error:
            done(error)
        except Exception as error:  # noqa: BLE001 - nobody may be left without an answer
            _log.error("request.fault", error=repr(error), exc_info=error)
            done(Unavailable(FAULT))

    @asynccontextmanager
    async def _lane(self, namespace: str) -> AsyncIterator[None]:
        """Let one batch of a namespace go on at a time, in the order in which they came."""
        lane = self._lanes.setdefault(namespace, asyncio.Lock())
        try:
            async with lane:
                yield
        finally:
            if not lane.locked() and self._lanes.get(namespace) is lane:
                del self._lanes[namespace]

    @asynccontextmanager
    async def _step(self, batch: _Batch) -> AsyncIterator[None]:
        """Do something short while no other large batch does, then let everybody else have a turn.

        When somebody else did something in it, or the processor was needed elsewhere, they have more of it:
        on a machine with few cores the log and the client wait for this core as well. One of more events than
        its namespace may publish now is in no hurry, and gives its place to others.
        """
        pause_s = 0.0
        async with self._turn:
            yield
            done_at = time.perf_counter()
            await asyncio.sleep(0)
            self._steps += 1
            if self._publisher.short_of(batch.principal, batch.events):
                pause_s = limits.batch_refused_pause_s
                batch.give_place()
            elif (
                time.perf_counter() - done_at > limits.batch_turn_idle_s and self._steps >= limits.batch_steps
            ):
                self._steps = 0
                await asyncio.sleep(limits.batch_pause_s)
        if pause_s:
            await asyncio.sleep(pause_s)

    async def _read(self, body: bytes | bytearray, batch: _Batch) -> deque[bytes]:
        """Return the slices of a body, read to its end, for only then it is known to be a batch.

        Their events are not kept: 100 MB of small objects, which the collector would look at again and again.
        """
        slices, texts = slices_of(body), deque[bytes]()
        while True:
            async with self._step(batch):
                some = next(slices, None)
            if some is None:
                return texts
            texts.append(some.text)
            batch.events += len(some.events)

    async def _commit(self, texts: deque[bytes], batch: _Batch) -> Answer:
        answer = _Answering()
        under_way: deque[tuple[_Checked, asyncio.Future[Submission]]] = deque()
        while texts or under_way:
            if texts and len(under_way) < _UNDER_WAY:
                checked = await self._checked_together(texts, batch)
                under_way.append((checked, self._submit(checked, batch.principal, answer.stopped)))
            else:
                checked, submission = under_way.popleft()
                done = await submission
                async with self._step(batch):
                    answer.add(checked, done)
        return Answer(batch_answer_of(answer.parts, answer.events, answer.failed), answer.positions)

    async def _checked_together(self, texts: deque[bytes], batch: _Batch) -> _Checked:
        """Take as many slices as go to the log together, read and checked: a sync for each would be slow."""
        checked = _Checked([], [])
        for _ in range(min(len(texts), limits.batch_slices_together)):
            some = await self._checked(texts.popleft(), batch)
            checked.events.extend(some.events)
            checked.said.extend(some.said)
        return checked

    async def _checked(self, text: bytes, batch: _Batch) -> _Checked:
        """Read and check the events of a slice; of a namespace that may publish nothing now they are not."""
        refusal = self._publisher.refusal(batch.principal)
        if refusal is not None:
            async with self._step(batch):
                names = read_names(text)
            batch.events -= len(names)
            return _Checked([refusal] * len(names), names)
        async with self._step(batch):
            bodies = read_some(text)
        batch.events -= len(bodies)
        events: list[Event | FluxError] = []
        size = limits.batch_slice_events
        for first in range(0, len(bodies), size):
            async with self._step(batch):
                events += self._publisher.check_all(bodies[first : first + size], batch.principal)
        if isinstance(bodies[0], Envelope):
            for number, refused in too_deep(text, events).items():
                events[number] = refused
        said = [
            event if isinstance(event, Event) else body for event, body in zip(events, bodies, strict=True)
        ]
        return _Checked(events, said)

    def _submit(
        self, some: _Checked, principal: Principal, stopped: Unavailable | None
    ) -> asyncio.Future[Submission]:
        """Have a slice committed; behind one that the log did not take none is, as in a small batch."""
        waiting: asyncio.Future[Submission] = asyncio.get_running_loop().create_future()
        if stopped is None:
            self._publisher.submit_events(some.events, principal, into(waiting))
        else:
            failed = [event if isinstance(event, FluxError) else stopped for event in some.events]
            waiting.set_result(Submission([*failed], lambda _: None))
        return waiting


class _Answering:
    """The answer as far as it is known."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.events = 0
        self.failed = 0
        self.positions: dict[int, Packed] = {}
        self.stopped: Unavailable | None = None

    def add(self, some: _Checked, submission: Submission) -> None:
        """Render what became of a slice."""
        self.parts.append(batch_answer_part(some.said, submission.events, first=not self.parts))
        self.events += len(submission.events)
        self.failed += submission.failed
        for partition, position in submission.positions().items():
            self.positions[partition] = max(position, self.positions.get(partition, position))
        if submission.failed:
            lost = (event for event in submission.events if isinstance(event, Unavailable))
            self.stopped = self.stopped or next(lost, None)
