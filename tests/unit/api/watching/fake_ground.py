"""A `Ground` whose answers a test gives: one partition, its rows, and where its feed is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from flux_actors.domain.entity import EntityRow
from flux_actors.domain.pattern import names
from flux_actors.errors import Unavailable
from flux_api.watching.ground import Base, Recall, end_of

_PAGE = 2


@dataclass
class FakeGround:
    """It keeps its rows back while `closed`, and raises `fault` when it has one; rows are in order."""

    rows: list[EntityRow]
    sequence: int  # at which the rows are true
    place_now: int = 0
    recalled: Recall | None = None
    closed: bool = False
    fault: Exception | None = None

    def __post_init__(self) -> None:
        self.place_now = self.sequence

    def partition_of(self, entity_id: str) -> int:
        return 0

    def partitions_of(self, pattern: str) -> tuple[int, ...]:
        return (0,)

    def place(self, partition: int) -> int | None:
        return self.place_now

    async def reached(self, partition: int, sequence: int) -> None:
        await asyncio.sleep(0)
        if self.place_now < sequence:
            raise Unavailable("not yet")

    async def base(self, pattern: str, partition: int, after: str | None) -> Base:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        if self.closed:
            raise Unavailable("away")
        named = [row for row in self.rows if names(pattern, row.entity_id)]
        rows = [row for row in named if after is None or row.entity_id > after]
        more = len(rows) > _PAGE
        return Base(end_of(self.sequence), rows[:_PAGE], rows[_PAGE - 1].entity_id if more else None)

    async def recall(self, pattern: str, partition: int, after: int) -> Recall | None:
        await asyncio.sleep(0)
        return self.recalled
