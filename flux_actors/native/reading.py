"""Reading entities: who wants some while requests are under way goes with the others who do.

A request to a shard costs both sides nearly the same for one id as for hundreds. So some are on their way to
a partition at most, and what is wanted meanwhile goes together as the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from flux_actors import limits
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.native.asking import Asking

READ_S: Final = 10.0  # for a partition to answer, which may be moving: twice what that takes


class _Wanted(NamedTuple):
    """Some ids that one reader wants of a partition."""

    ids: list[str]
    after: int
    rows: asyncio.Future[dict[str, EntityRow]]


class Reading:
    """Reads from all partitions."""

    def __init__(self, partitioning: Partitioning, asking: Asking) -> None:
        self._partitioning = partitioning
        self._parts = [_Part(partition, asking) for partition in partitioning.all()]

    async def rows(self, ids: Sequence[str], after: Callable[[int], int]) -> dict[str, EntityRow]:
        """Return those of `ids` that live, as they are with everything up to `after` a partition applied.

        Raises:
            Unavailable: a partition did not answer in time.
        """
        groups: dict[int, list[str]] = {}
        for entity_id, partition in zip(ids, self._partitioning.of_entities(ids), strict=True):
            groups.setdefault(partition, []).append(entity_id)
        size = limits.native_read_ids
        answers = await asyncio.gather(
            *(
                self._parts[partition].want(own[begin : begin + size], after(partition))
                for partition, own in groups.items()
                for begin in range(0, len(own), size)
            )
        )
        return {entity_id: row for rows in answers for entity_id, row in rows.items()}

    async def close(self) -> None:
        """Ask no longer."""
        for part in self._parts:
            part.close()


class _Part:
    """Reads from one partition."""

    def __init__(self, partition: int, asking: Asking) -> None:
        self._partition = partition
        self._asking = asking
        self._waiting: deque[_Wanted] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    def want(self, ids: list[str], after: int) -> asyncio.Future[dict[str, EntityRow]]:
        wanted = _Wanted(ids, after, asyncio.get_running_loop().create_future())
        self._waiting.append(wanted)
        self._go()
        return wanted.rows

    def close(self) -> None:
        for task in self._under_way:
            task.cancel()

    def _go(self) -> None:
        while self._waiting and len(self._under_way) < limits.native_reads_max:
            task = asyncio.get_running_loop().create_task(self._read(self._take()))
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            self._go()

    def _take(self) -> list[_Wanted]:
        """Take what fits into one request."""
        taken = [self._waiting.popleft()]
        count = len(taken[0].ids)
        while self._waiting and count + len(self._waiting[0].ids) <= limits.native_read_ids:
            taken.append(self._waiting.popleft())
            count += len(taken[-1].ids)
        return taken

    async def _read(self, taken: list[_Wanted]) -> None:
        ids = list(dict.fromkeys(entity_id for one in taken for entity_id in one.ids))
        after = max(one.after for one in taken)
        try:
            answer = await self._asking.read(self._partition, ids, after, READ_S)
        except BaseException as error:
            for one in taken:
                if not one.rows.done():
                    one.rows.set_exception(error) if isinstance(error, Exception) else one.rows.cancel()
            if not isinstance(error, Exception):
                raise
            return
        rows = {row.entity_id: row for row in answer.rows if row.properties is not None}
        for one in taken:
            if not one.rows.done():
                one.rows.set_result({key: rows[key] for key in one.ids if key in rows})
