"""A partition's part of a list: rendered page by page, in short runs.

Between two runs the shard does what else there is to do: a page of half a megabyte takes about 3 ms, but
one of dead or of large entities may take long. Meanwhile entities change, come and go. A run goes on behind
the last id of the one before, so an id comes once at most, in order, and one that lived all the time comes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from flux_actors import limits
from flux_actors.domain.acting.faults import subject_of
from flux_actors.domain.entity import Readable, render, render_some
from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.where import where_of
from flux_actors.shard.cold_index import ColdIndex
from flux_actors.shard.index import IdIndex
from flux_actors.shard.reads import NO_VEIL, Page, PageOrder, Veil

_LAST: Final = "\U0010ffff"  # behind nearly every name: those behind it are looked at one by one


class Listed(Protocol):
    """A partition whose entities can be listed: one that is hosted, or one as it was."""

    index: IdIndex | ColdIndex

    def readable(self) -> PartitionState:
        """Return the state, or raise why it cannot be read now."""
        ...


async def page_of(host: Listed, order: PageOrder) -> Page:
    """Return a page of living entities."""
    host.readable()
    host.index.refresh()
    page = Page([], [], order.after)
    size, left = 0, sys.maxsize if order.rows_max is None else order.rows_max
    until_s = time.monotonic() + limits.page_look_s
    ids_max = _run_ids(order.query.where)
    while size < order.bytes_max and left and time.monotonic() < until_s:
        found, after = host.index.living(order.prefix, page.after, ids_max)
        actors = _matching(_unveiled(found, order.veil), order.query.where)
        rows = _rendered(actors[:left], min(limits.run_bytes, order.bytes_max - size), order.query.fields)
        left -= len(rows)
        ids = [actor.entity_id for actor in actors[: len(rows)]]
        page.after = _over(after, order.veil) if len(rows) == len(actors) else ids[-1]
        size += sum(map(len, rows))
        if rows:
            page.ids += ids[-1:] if order.joined else ids
            page.runs += [b",".join(rows)] if order.joined else rows
        if page.after is None:
            break
        await asyncio.sleep(0)
    return page


async def living_ids(
    host: Listed, prefix: str, veil: Veil = NO_VEIL, where: str | None = None
) -> AsyncIterator[list[str]]:
    """Yield the ids of living entities beginning with `prefix`, sorted, in runs."""
    host.readable()
    host.index.refresh()
    after: str | None = None
    while True:
        actors, after = host.index.living(prefix, after, _run_ids(where))
        yield [actor.entity_id for actor in _matching(_unveiled(actors, veil), where)]
        after = _over(after, veil)
        if after is None:
            return
        await asyncio.sleep(0)


def _run_ids(where: str | None) -> int:
    """Return how many ids to look at in one go: a long condition takes long for each."""
    return max(1, limits.run_ids_max // (1 + len(where or "") // limits.where_run_chars))


def _unveiled(actors: Sequence[Readable], veil: Veil) -> Sequence[Readable]:
    """Return those that a reader may see."""
    if not veil.namespaces:
        return actors
    return [actor for actor in actors if not veil.hides(actor.entity_id)]


def _matching(actors: Sequence[Readable], where: str | None) -> Sequence[Readable]:
    """Return those of which a condition holds."""
    if where is None:
        return actors
    holds = where_of(where)
    return [actor for actor in actors if holds(actor.properties or {})]


def _over(after: str | None, veil: Veil) -> str | None:
    """Return where to go on: in a namespace that is veiled whole there is nothing to look at."""
    if after is None or not veil.namespaces:
        return after
    subject = subject_of(after)
    whole = f"{after.removesuffix(subject)}{namespace_of(subject)}/"
    return f"{whole}{_LAST}" if veil.covers(whole) else after


def _rendered(actors: Sequence[Readable], bytes_max: int, fields: tuple[str, ...] | None) -> list[bytes]:
    """Return the JSON of the first entities, up to the one with which they have `bytes_max`."""
    rows: list[bytes] = []
    size = 0
    for actor in actors:
        rows.append(render(actor) if fields is None else render_some(actor, fields))
        size += len(rows[-1])
        if size >= bytes_max:
            break
    return rows
