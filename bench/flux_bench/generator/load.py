"""Closed loop over HTTP: every connection sends a request, waits for the answer, sends the next.

What each answer costs here decides how fast a server can be measured, so an answer is looked at once:
its length, its status line, and one search for what must be in it.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, cast

import msgspec

from flux_bench.generator.http import INCOMPLETE, answer_size, body_of, post
from flux_bench.generator.jobs import Failed, Pace, Place, Publish, Read, Told
from flux_bench.latencies import latencies_of
from flux_bench.workload import FIRST, Pieces

Check = Callable[[bytes], bool]
_OK: Final = b"HTTP/1.1 200"
_TOO_MANY: Final = b"HTTP/1.1 429"
_SILENCE_S: Final = 20.0  # without any answer on any connection


class _BatchAnswer(msgspec.Struct):
    successful: int
    failed: int


_decode_batch = msgspec.json.Decoder(_BatchAnswer).decode


class Crew:
    """The connections of one run: they begin together and end together."""

    def __init__(self, pace: Pace) -> None:
        self.requests_max = pace.requests or 1 << 60
        self.pause_s = pace.pause_s
        self.measure_from = 0.0
        self.deadline = float("inf")
        self.refusal = ""
        self._pace = pace
        self._connections: list[Connection] = []
        self._ended = asyncio.Event()
        self._working = 0
        self._started = 0.0

    async def connect(self, place: Place, turns: list[list[Pieces]], checks: list[list[Check]]) -> None:
        """Open one connection for each turn of requests."""
        loop = asyncio.get_running_loop()
        for own_turns, own_checks in zip(turns, checks, strict=True):
            connection = Connection(self, own_turns, own_checks)
            try:
                await loop.create_connection(cast("Any", lambda c=connection: c), place.host, place.port)
            except OSError as error:
                raise Failed(f"cannot connect to {place.name}: {error.strerror}") from None
            self._connections.append(connection)

    async def work(self, first: int = 0) -> Told:
        """Run; return what was done."""
        pace = self._pace
        self._started = now = perf_counter()
        self.measure_from = now + pace.warm_up_s
        if pace.seconds:
            self.deadline = now + pace.seconds + pace.warm_up_s
        self._working = len(self._connections)
        for connection in self._connections:
            connection.begin(now, first)
        while not self._ended.is_set():
            before = self._progress()
            try:
                await asyncio.wait_for(self._ended.wait(), _SILENCE_S)
            except TimeoutError:
                if self._progress() == before:
                    self.refuse(self._silence())
        return self._told()

    def left(self) -> None:
        """Hear that a connection has ended."""
        self._working -= 1
        if not self._working:
            self._ended.set()

    def refuse(self, why: str) -> None:
        """End the run: an answer was not as it must be."""
        self.refusal = self.refusal or why
        self._ended.set()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()

    def _progress(self) -> int:
        return sum(connection.count for connection in self._connections)

    def _silence(self) -> str:
        waiting = [connection for connection in self._connections if connection.waits]
        first = waiting[0]
        return (
            f"{len(waiting)} of {len(self._connections)} connections got no answer for {_SILENCE_S:.0f} s; "
            f"the first of them after {first.count} answers, with {len(first.rest)} bytes of the next one"
        )

    def _told(self) -> Told:
        pace = self._pace
        connections = self._connections
        latencies = [sample for connection in connections for sample in connection.latencies]
        ended = max((connection.ended for connection in connections), default=self._started)
        return Told(
            counts=[connection.count for connection in connections],
            done=sum(connection.done for connection in connections),
            seconds=pace.seconds or ended - self._started,
            latencies=latencies_of(latencies),
            refusal=self.refusal,
            bodies=[body_of(connection.answer) for connection in connections if connection.answer],
        )


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, crew: Crew, turns: list[Pieces], checks: list[Check]) -> None:
        self.count = 0
        self.done = 0  # within the measured window
        self.latencies = array("d")
        self.answer = b""
        self.ended = 0.0
        self._crew = crew
        self._turns = turns
        self._checks = checks
        self._transport: asyncio.Transport | None = None
        self._first = FIRST
        self._sent_at = 0.0
        self.rest = b""
        self._chunks: list[bytes] = []  # of an answer whose length is known
        self._missing = 0  # bytes of it
        self.waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def begin(self, now: float, first: int) -> None:
        """Send the first request, whose number is `first`."""
        self._first = FIRST + first
        self._send(now)

    def data_received(self, data: bytes) -> None:
        if self._chunks:
            self._chunks.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._chunks)
            self._chunks.clear()
        elif self.rest:
            data = self.rest + data
        size = answer_size(data)
        if size == INCOMPLETE:
            self.rest = data
            return
        if len(data) < size:
            self.rest, self._chunks, self._missing = b"", [data], size - len(data)
            return
        now = perf_counter()
        turn = self.count % len(self._turns)
        if len(data) != size or not self._checks[turn](data):
            self._crew.refuse(f"an answer was {data[:300].decode(errors='replace')!r}")
            self.close()
            return
        self.rest = b""
        self.answer = data
        self.count += 1
        crew = self._crew
        if crew.measure_from <= now < crew.deadline:
            self.done += 1
            self.latencies.append(now - self._sent_at)
        if now < crew.deadline and self.count < crew.requests_max:
            if crew.pause_s:
                self.waits = False
                asyncio.get_running_loop().call_later(crew.pause_s, self._send_after_pause)
            else:
                self._send(now)
        else:
            self.ended = now
            self.waits = False
            crew.left()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waits:
            self._crew.refuse("the server closed a connection instead of answering")

    def close(self) -> None:
        """Close the connection."""
        self.waits = False
        if self._transport is not None:
            self._transport.close()

    def _send_after_pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._send(perf_counter())

    def _send(self, now: float) -> None:
        self._sent_at = now
        self.waits = True
        turns = self._turns
        number = self.count
        cast("asyncio.Transport", self._transport).write(
            (b"%d" % (self._first + number)).join(turns[number % len(turns)])
        )


def holds(mark: bytes) -> Check:
    """Return a check that an answer holds a text."""
    return lambda data: data.startswith(_OK) and mark in data


def holds_times(mark: bytes, times: int) -> Check:
    """Return a check that an answer holds a text so many times."""
    return lambda data: data.startswith(_OK) and data.count(mark) == times


def all_landed(events: int) -> Check:
    """Return a check that all events of a batch were taken."""

    def check(data: bytes) -> bool:
        answer = _decode_batch(body_of(data)) if data.startswith(_OK) else _BatchAnswer(0, events)
        return answer.successful == events and answer.failed == 0

    return check


def told_of_limit(data: bytes) -> bool:
    """Whether an answer is that to a publish, of which all or a part may have been too much."""
    return data.startswith((_OK, _TOO_MANY))


async def publish(job: Publish) -> Told:
    """Publish a workload."""
    workload = job.workload
    path = "/api/events" if workload.events == 1 else "/api/events/batch"
    check = holds(b'"eventId"') if workload.events == 1 else all_landed(workload.events)
    if job.refusable:
        check = told_of_limit
    turns = [
        [post(job.place.name, path, body, job.headers) for body in workload.bodies(connection)]
        for connection in range(workload.connections)
    ]
    return await _run(job.place, job.pace, turns, [[check] * len(turn) for turn in turns], workload.first)


async def read(job: Read) -> Told:
    """Send requests that hold no number."""
    turns = [[[request] for request in turn] for turn in job.turns]
    if job.times:
        checks = [[holds_times(mark, job.times) for mark in marks] for marks in job.marks]
    else:
        checks = [[holds(mark) for mark in marks] for marks in job.marks]
    return await _run(job.place, job.pace, turns, checks, 0)


async def _run(
    place: Place, pace: Pace, turns: list[list[Pieces]], checks: list[list[Check]], first: int
) -> Told:
    crew = Crew(pace)
    try:
        await crew.connect(place, turns, checks)
        return await crew.work(first)
    finally:
        crew.close()
