"""A lane: entities whose code runs beside the shard share calls of its worker.

Two calls are under way at most: while the worker handles one, the shard makes the orders of the next, and
takes in the results of the one before. What comes meanwhile piles up, and goes together. After a worker was
lost without a trace of what ended it, the lane goes step by step for a while, one item in a call: so the one
that does it is found, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from flux_actors import limits
from flux_actors.behaviour.loads import Share
from flux_actors.behaviour.mailbox import Mailbox


class Carried(NamedTuple):
    """What became of a load: its effects are on their way into the log, or its worker was lost."""

    finishing: asyncio.Task[None] | None = None
    lost: bool = False  # and nobody knows by what


class Lane:
    """The entities of one worker that have something to do."""

    def __init__(
        self,
        take: Callable[[Mailbox, int, int], Share | None],
        carry: Callable[[list[Share]], Awaitable[Carried]],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._take = take
        self._carry = carry
        self._spawn = spawn  # somebody is told if it fails
        self._ready: dict[str, Mailbox] = {}
        self._task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()  # calls
        self._finishing: set[asyncio.Task[None]] = set()
        self._careful = 0  # calls that are still to be made step by step

    def add(self, mailbox: Mailbox) -> None:
        """Have the items of a mailbox handled in its turn."""
        self._ready[mailbox.entity_id] = mailbox
        if self._task is None:
            self._task = self._spawn(self._run())

    async def close(self) -> None:
        """End what is under way."""
        tasks = self._under_way | self._finishing | ({self._task} if self._task is not None else set())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        while self._ready:
            while not self._may_call():
                await asyncio.wait(self._under_way | self._finishing, return_when=asyncio.FIRST_COMPLETED)
            load = self._load()
            if load:
                self._note(self._under_way, self._spawn(self._call(load)))
        self._task = None

    def _may_call(self) -> bool:
        """Whether another call may go now."""
        calls_max = 1 if self._careful else limits.lane_calls_max
        return len(self._under_way) < calls_max and len(self._finishing) < limits.orders_under_way

    async def _call(self, load: list[Share]) -> None:
        carried = await self._carry(load)
        self._careful = max(0, self._careful - 1)
        if carried.lost and (len(load) > 1 or len(load[0].items) > 1):
            self._careful = sum(len(share.items) for share in load)
        if carried.finishing is not None:
            self._note(self._finishing, carried.finishing)

    @staticmethod
    def _note(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def _load(self) -> list[Share]:
        load: list[Share] = []
        items_left = 1 if self._careful else limits.orders_items_max
        bytes_left = limits.orders_bytes_max
        while self._ready and items_left > 0 and bytes_left > 0:
            entity_id = next(iter(self._ready))
            share = self._take(self._ready.pop(entity_id), items_left, bytes_left)
            if share is not None:
                load.append(share)
                items_left -= len(share.items)
                bytes_left -= share.size
        return load
