"""The roll call: one process asks all of a Flux how they are, over the bus.

Prometheus cannot ask them by itself: doors share one port, so nobody knows which of them a connection
reaches, and shards, router and connectors listen on none; on a cluster they stand on nodes that nobody knows
beforehand. But all of them are on NATS. So whichever door is asked calls the roll: it publishes a question
that names where to answer, and each process answers with its report. While nobody asks, that costs nothing.

The caller knows whom to wait for: those that the topology names, and who answered the last time; of its first
call it waits the whole time. Who does not answer in time is missing from the text, and counted there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec
import structlog

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.log.ports import Bus, Subscription
from flux_actors.metering.samples import Report, Sample, decode_report, encode_report

_log = structlog.get_logger(__name__)
QUESTION_SUBJECT: Final = "flux.roll.question"
_ANSWER_SUBJECT: Final = "flux.roll.answer."


class Answerer:
    """A process's part: it answers each call with what its sources tell at that moment."""

    def __init__(
        self, bus: Bus, process: str, role: str, sources: Iterable[Callable[[], Iterable[Sample]]]
    ) -> None:
        self._bus = bus
        self._process = process
        self._role = role
        self._sources = list(sources)
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Begin to answer."""
        self._subscription = await self._bus.subscribe(QUESTION_SUBJECT, self._answer)

    async def close(self) -> None:
        """Answer no longer."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _answer(self, question: bytes) -> None:
        call, _, where = question.decode().partition(" ")
        samples = [sample for source in self._sources for sample in source()]
        try:
            for data in encode_report(self._process, self._role, samples, int(call)):
                await self._bus.publish(where, data)
        except Unavailable as error:
            _log.warning("roll.unanswered", reason=error.message)


class Roll(NamedTuple):
    """What a call brought."""

    reports: list[Report]
    missing: int
    took_s: float


class RollCall:
    """The caller's part. Calls at the same time, or right behind each other, are one."""

    def __init__(self, bus: Bus, name: str, expected: Callable[[], Iterable[str]]) -> None:
        self._bus = bus
        self._where = _ANSWER_SUBJECT + name
        self._expected = expected
        self._number = 0
        self._known: set[str] = set()  # who answered the last call, however late
        self._heard: dict[str, list[Report]] = {}
        self._complete = asyncio.Event()
        self._wanted: set[str] = set()
        self._last: Roll | None = None
        self._last_at = 0.0
        self._calling: asyncio.Task[Roll] | None = None
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Begin to hear answers."""
        self._subscription = await self._bus.subscribe(self._where, self._hear)

    async def close(self) -> None:
        """Hear no longer."""
        if self._calling is not None:
            self._calling.cancel()
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def call(self) -> Roll:
        """Return the reports of all who answer in time; of the last call, if that is less than a second ago.

        Raises:
            Unavailable: nobody can be asked.
        """
        if self._last is not None and time.monotonic() - self._last_at < limits.roll_fresh_s:
            return self._last
        if self._calling is None or self._calling.done():
            self._calling = asyncio.create_task(self._call())
        return await asyncio.shield(self._calling)

    async def _call(self) -> Roll:
        began = time.monotonic()
        self._wanted = self._known | set(self._expected())
        self._heard, self._known = {}, set()
        self._number += 1
        self._complete.clear()
        await self._bus.publish(QUESTION_SUBJECT, f"{self._number} {self._where}".encode())
        try:
            async with asyncio.timeout(limits.roll_wait_s):
                await self._complete.wait()
        except TimeoutError:
            pass  # who is missing is told
        reports = [report for parts in self._heard.values() if _whole(parts) for report in parts]
        missing = len(self._wanted - {report.process for report in reports})
        self._last = Roll(reports, missing, time.monotonic() - began)
        self._last_at = time.monotonic()
        return self._last

    async def _hear(self, data: bytes) -> None:
        try:
            report = decode_report(data)
        except msgspec.DecodeError as error:
            _log.warning("roll.unreadable", reason=str(error))
            return
        if report.call != self._number:
            return  # it comes too late: another call has begun
        self._known.add(report.process)
        self._heard.setdefault(report.process, []).append(report)
        knows_whom = self._last is not None
        if knows_whom and all(_whole(self._heard.get(process, [])) for process in self._wanted):
            self._complete.set()


def _whole(parts: list[Report]) -> bool:
    return bool(parts) and len(parts) >= parts[0].parts
