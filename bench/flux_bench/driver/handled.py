"""Seeing in the log that messages were handled: the same note takes them out of the outbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from flux_actors.domain.event import terms_in
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.block import PLAIN, decode_block
from flux_actors.log.connection import connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.ports import EventLog
from flux_actors.native.introducing import introduce

_VERSION_AT: Final = 2


@asynccontextmanager
async def watching() -> AsyncIterator[Handled]:
    """Yield what stands at the end of all partitions of the Flux of this cluster."""
    introduction = await introduce(None)
    client = await connect(introduction.access, "bench-driver")
    try:
        log = JetStreamLog(client)
        places = {one: (await log.bounds(one)).last for one in range(introduction.partitions)}
        yield Handled(log, places)
    finally:
        await client.close()


class Handled:
    """What the log notes as handled behind the places where it stood when this was opened."""

    def __init__(self, log: EventLog, places: dict[int, int]) -> None:
        self._log = log
        self._places = places
        self.count = 0
        self.twice = 0
        self._positions: dict[int, set[int]] = {partition: set() for partition in places}
        self.last_at = 0.0  # when the last note was read

    async def wait(self, count: int, within_s: float) -> None:
        """Return when so many messages were handled, each once.

        Raises:
            Unavailable: not in that time. Corrupt: one was noted twice, or others were.
        """
        readers = [asyncio.create_task(self._read(partition, count)) for partition in self._places]
        try:
            async with asyncio.timeout(within_s):
                await asyncio.gather(*readers)
        except TimeoutError:
            text = f"{self.count:,} of {count:,} messages were handled in {within_s:g} s"
            raise Unavailable(text) from None
        if self.twice or self.count != count:
            raise Corrupt(
                f"{self.count:,} messages were handled, {self.twice:,} of them twice; not {count:,}"
            )

    async def _read(self, partition: int, count: int) -> None:
        reader = self._log.reader(partition, self._places[partition])
        try:
            while self.count < count:
                for block in await reader.pull(0.05):
                    self._places[partition] = block.sequence
                    if block.data[_VERSION_AT] != PLAIN:
                        self._take(partition, block.data)
        finally:
            await reader.close()

    def _take(self, partition: int, data: bytes) -> None:
        for event in decode_block(data).events:
            terms = terms_in(event)  # type: ignore[arg-type]
            if terms is not None and terms.handled is not None:
                self._note(partition, terms.handled)

    def _note(self, partition: int, positions: Iterable[int]) -> None:
        known = self._positions[partition]
        for position in positions:
            self.twice += position in known
            known.add(position)
            self.count += 1
        self.last_at = time.perf_counter()
