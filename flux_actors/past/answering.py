"""Answering orders by folding: everything but the process in which it happens."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from flux_actors import limits
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.domain.acting.faults import audience_of
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Refused
from flux_actors.log.ports import EventLog
from flux_actors.past.orders import (
    ChangesOrder,
    CountOrder,
    EntityOrder,
    Floors,
    Order,
    PagesOrder,
    encode,
)
from flux_actors.past.refolding import Refolder
from flux_actors.past.room import TOO_LARGE, Room, always, check_size
from flux_actors.shard.cold_index import ColdIndex
from flux_actors.shard.index import IdIndex
from flux_actors.shard.listing import living_ids, page_of
from flux_actors.snapshot.store import SnapshotStore


class Answering:
    """A `Past` that folds where it is."""

    def __init__(self, log: EventLog, store: SnapshotStore, code: ReducerCode, room: Room = always) -> None:
        self._refolder = Refolder(log, store, code, room)
        self._room = room

    async def answer(self, order: Order) -> bytes:
        """Fold, and return what was asked for."""
        match order:
            case EntityOrder():
                state = await self._refolder.state(order.partition, order.entity_id, order.target)
                found = [actor.reading() for actor in state.living([order.entity_id])]
                return encode(found[0] if found else None)
            case CountOrder():
                then = await self.then(order)
                page = order.page
                ids = living_ids(then, page.prefix, page.veil, page.query.where)
                return encode(sum([len(some) async for some in ids]))
            case ChangesOrder():
                return _within_limit(encode(await self._refolder.changes(*order)))

    async def then(self, order: CountOrder | PagesOrder) -> Then:
        """Fold what a list is to be made of."""
        then = Then()
        for part in order.parts:
            then.add(await self._refolder.state(part.partition, order.page.prefix, part.target), part.floors)
            check_size(then.readable(), self._room)
        return then

    async def pages(self, order: PagesOrder) -> AsyncGenerator[bytes, None]:
        """Fold, and yield a list page by page."""
        async with aclosing(pages_of(await self.then(order), order)) as pages:
            async for page in pages:
                yield page


class Then:
    """Partitions as they were, as one that can be listed; no id is in two of them."""

    def __init__(self) -> None:
        self._state = PartitionState(0)
        self.index: IdIndex | ColdIndex = IdIndex(self._state)

    def add(self, state: PartitionState, floors: Floors) -> None:
        """Take in the living of a partition but for what earlier owners of a name left."""
        for entity_id, actor in state.entities.items():
            if actor.lives and actor.position >= floors.get(audience_of(entity_id), 0):
                self._state.entities[entity_id] = actor

    def readable(self) -> PartitionState:
        """Return them."""
        return self._state


async def pages_of(then: Then, order: PagesOrder) -> AsyncGenerator[bytes, None]:
    """Yield the pages of a list of the past."""
    page_order = order.page
    while True:
        page = await page_of(then, page_order)
        yield encode(page)
        if page.after is None:
            return
        page_order = page_order._replace(after=page.after, bytes_max=order.bytes_max)


def _within_limit(data: bytes) -> bytes:
    if len(data) > limits.past_answer_bytes_max:
        raise Refused(
            f"what changed since has more than {limits.past_answer_bytes_max} bytes; read the present state",
            TOO_LARGE,
        )
    return data
