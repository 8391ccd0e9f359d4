"""A door's part in a scrape: it calls the roll when Prometheus comes, and answers when others call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from flux_actors.errors import Unavailable
from flux_actors.log.ports import Bus
from flux_actors.log.roll_call import Answerer, Roll, RollCall
from flux_actors.metering import table
from flux_actors.metering.exposition import exposition
from flux_actors.metering.process import NatsClient, ProcessMeter, process_name
from flux_actors.metering.samples import Report, Sample
from flux_api.metering import DoorMeter

_ROLE = "door"


class Scraping:
    """Answers scrapes for the whole of a Flux."""

    def __init__(self, bus: Bus, meter: DoorMeter, shards: Callable[[], Iterable[str]]) -> None:
        self._bus = bus
        self._meter = meter
        self._name = process_name(_ROLE)
        self._roll = RollCall(bus, self._name, lambda: {self._name, *shards()})
        self._process: ProcessMeter | None = None
        self._answerer: Answerer | None = None

    async def open(self, client: NatsClient | None = None) -> None:
        """Begin to call, and to answer."""
        self._process = ProcessMeter(_ROLE, client)
        self._process.begin()
        sources = [self._process.samples, self._meter.samples]
        self._answerer = Answerer(self._bus, self._name, _ROLE, sources)
        await self._answerer.open()
        await self._roll.open()

    async def close(self) -> None:
        """Do neither any longer."""
        if self._process is not None:
            self._process.end()
        if self._answerer is not None:
            await self._answerer.close()
        await self._roll.close()

    async def text(self) -> AsyncIterator[bytes]:
        """Yield what Prometheus reads, a piece at a time, with a turn for everybody else after each."""
        roll = await self._called()
        for part in exposition(roll.reports, _of_scrape(roll)):
            if part:
                yield part
            await asyncio.sleep(0)

    async def _called(self) -> Roll:
        """Return all reports; this door's own alone while there is no way to the others."""
        try:
            return await self._roll.call()
        except Unavailable:
            samples = [
                *self._meter.samples(),
                *(self._process.samples() if self._process is not None else ()),
            ]
            return Roll([Report(self._name, _ROLE, samples)], 1, 0.0)


def _of_scrape(roll: Roll) -> list[Sample]:
    """Return what a roll call tells of itself."""
    roles: dict[str, set[str]] = {}
    for report in roll.reports:
        roles.setdefault(report.role, set()).add(report.process)
    return [
        *(table.SCRAPED.of(len(processes), role) for role, processes in sorted(roles.items())),
        table.MISSING.of(roll.missing),
        table.SCRAPE_SECONDS.of(roll.took_s),
    ]
