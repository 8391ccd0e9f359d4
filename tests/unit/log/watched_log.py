"""A log that a test can hold, silence and fill, and what publishes to it through a committer."""

from __future__ import annotations

import asyncio

from flux_actors.domain.event import Event
from flux_actors.errors import Unavailable
from flux_actors.log.block import decode_block, encode_event
from flux_actors.log.committer import Committer, Outcome
from flux_actors.log.memory import MemoryLog

IDENTITY = 0xFEED


class WatchedLog(MemoryLog):
    """A log that notes every try, holds it while `gate` is shut, may give no answer or be full."""

    def __init__(self) -> None:
        super().__init__(1)
        self.silent = False
        self.room = 1_000
        self.tries: list[tuple[str, bytes]] = []
        self.in_flight = 0
        self.in_flight_max = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, partition: int, data: bytes, block_id: str, timeout_s: float) -> int:
        self.tries.append((block_id, data))
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            await self.gate.wait()
            if self.silent:
                await asyncio.sleep(timeout_s)
                raise Unavailable("no answer")
            if (await self.bounds(0)).last >= self.room:
                raise Unavailable("full")
            return await super().append(partition, data, block_id, timeout_s)
        finally:
            self.in_flight -= 1

    async def names(self) -> list[list[str]]:
        """The event ids of each stored block."""
        last = (await self.bounds(0)).last
        blocks = [decode_block(await self.block(0, sequence)) for sequence in range(1, last + 1)]
        return [[event.event_id for event in block.events if isinstance(event, Event)] for block in blocks]


def event(name: str, size: int = 0) -> bytes:
    return encode_event(Event("a/b", {"n": "x" * size}, name, True, "s", "t", 1))


def publish(committer: Committer, *names: str) -> asyncio.Task[list[Outcome]]:
    return asyncio.create_task(committer.commit([event(name) for name in names]))


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def outcome_of(publishing: asyncio.Task[list[Outcome]]) -> Outcome:
    (outcome,) = await publishing
    return outcome
