"""Twins of what pollings stand on: a clock that a test moves, a web of answers, a writer and a memory."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping
from typing import Any

from flux_actors.connectors.base import Answer, Found
from flux_actors.connectors.records import Memory

NOW_S = 1_000_000.0


class FakeClock:
    """Time that stands still until a test lets it go on."""

    def __init__(self) -> None:
        self.now = NOW_S
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0

    def now_s(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._number += 1
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, self._number, waiting))
        await waiting

    async def advance(self, seconds: float) -> None:
        """Let time pass; whoever wakes runs until it waits again."""
        until = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            self.now, _, waiting = heapq.heappop(self._sleepers)
            if not waiting.done():
                waiting.set_result(None)
            await settle()
        self.now = until


class ScriptedWeb:
    """Answers by a function; an exception is raised."""

    def __init__(self, answer: Callable[[str, Mapping[str, str]], Answer | Exception]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closed = False

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        self.asked.append((url, dict(headers)))
        found = self.answer(url, headers)
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None:
        self.closed = True


class ListWriter:
    """Keeps what was written; `fault` is raised instead."""

    def __init__(self) -> None:
        self.written: list[Found] = []
        self.fault: Exception | None = None

    async def write(self, found: list[Found]) -> int:
        if self.fault is not None:
            raise self.fault
        self.written += found
        return len(found)


class KeptMemory:
    """A memory in a variable."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory
        self.saves = 0
        self.load_faults: list[Exception] = []
        self.save_faults: list[Exception] = []

    async def load(self) -> Memory | None:
        if self.load_faults:
            raise self.load_faults.pop()
        return self.memory

    async def save(self, memory: Memory) -> None:
        if self.save_faults:
            raise self.save_faults.pop()
        self.memory = memory
        self.saves += 1


async def settle() -> None:
    """Let everything run that can run without waiting."""
    for _ in range(50):
        await asyncio.sleep(0)


def found_of(written: list[Found]) -> dict[str, Any]:
    """Return what was written last of each entity."""
    return dict(written)
