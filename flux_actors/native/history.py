"""The history of the log as a source of Ray Data: `ray.data.read_datasource(FluxHistory("home/"))`.

What is read is settled when the dataset is made: of each partition that the prefix concerns, the span between
two boundaries. The spans are cut into pieces of equal length, and a task reads each straight from the log and
hands on table after table. So the log is read once, in parallel, and never held whole in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple, TypeVar

from flux_actors.domain.position import Packed, text_of_all
from flux_actors.log.connection import connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.ports import EventLog
from flux_actors.native.boundaries import Boundary, read_boundary, span_between
from flux_actors.native.introduction import Introduction, introduction
from flux_actors.native.log_reading import blocks_of
from flux_actors.native.sight import Sight, read_tenants
from flux_actors.native.spans import Span, cut

try:
    import pyarrow as pa
    from ray.data import Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    from flux_actors.native.rows import SCHEMA, Rows
except ImportError as missing:
    raise ImportError("batch jobs need Ray Data: pip install 'flux-actors[data]'") from missing

_Result = TypeVar("_Result")


class Plan(NamedTuple):
    """What is read, and with which rights."""

    introduction: Introduction
    spans: list[Span]
    size_bytes: int  # about, as the log has it


class FluxHistory(Datasource):
    """Events of the log, a row each, as they were published.

    Arguments:
        prefix: what the ids of their entities begin with; `""` means all, and events of no entity as well.
        since: an RFC 3339 time, from which on; or a position, behind which. If missing, the log's beginning.
        until: an RFC 3339 time, in front of which; or a position, up to which. If missing, now.
        token: says what may be read, where tokens are on.
    """

    def __init__(
        self,
        prefix: str = "",
        since: str | None = None,
        until: str | None = None,
        *,
        token: str | None = None,
        introduced: Introduction | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's has no types
        self._prefix = prefix
        self._since = None if since is None else read_boundary(since, "since")
        self._until = None if until is None else read_boundary(until, "until")
        self._token = token
        self._introduced = introduced
        self._plan: Plan | None = None

    @property
    def through(self) -> str:
        """The positions up to which is read: a job that goes on there has them as `since`."""
        return text_of_all({span.partition: Packed(span.end - 1) for span in self._planned().spans})

    def estimate_inmemory_data_size(self) -> int:
        return self._planned().size_bytes

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: object = None,  # noqa: ARG002 - Ray passes it
    ) -> list[ReadTask]:
        """Return tasks that read a piece each.

        Raises:
            Refused: 410, the log was trimmed behind `since`; 400, it does not reach to a position.
            Unavailable: Flux cannot be reached.
        """
        plan = self._planned()
        pieces = cut(plan.spans, parallelism) or plan.spans[:1]  # an empty one tells the schema
        blocks = sum(piece.blocks for piece in pieces)
        return [
            ReadTask(
                partial(tables_of, plan.introduction, piece, self._prefix),
                BlockMetadata(None, plan.size_bytes * piece.blocks // max(1, blocks), None),
                SCHEMA,
                per_task_row_limit,
            )
            for piece in pieces
        ]

    def _planned(self) -> Plan:
        """Return what is read, settled once."""
        if self._plan is None:
            introduced = self._introduced or introduction(self._token)
            self._plan = _run(_plan(introduced, self._prefix, self._since, self._until))
        return self._plan


def tables_of(introduced: Introduction, span: Span, prefix: str) -> Iterator[pa.Table]:
    """Yield what a span holds as tables, one at least; the body of a Ray task."""
    with asyncio.Runner() as runner:
        tables = _tables(introduced, span, prefix)
        try:
            while (table := runner.run(_next(tables))) is not None:
                yield table
        finally:
            runner.run(tables.aclose())


async def _tables(introduced: Introduction, span: Span, prefix: str) -> AsyncGenerator[pa.Table, None]:
    client = await connect(introduced.access, "flux-history")
    try:
        tenants = await read_tenants(client, introduced.principal)
        rows = Rows(span, prefix, Sight(introduced.principal, tenants, span.partition))
        async with aclosing(tables_in(JetStreamLog(client), span, rows)) as tables:
            async for table in tables:
                yield table
    finally:
        await client.close()


async def tables_in(log: EventLog, span: Span, rows: Rows) -> AsyncGenerator[pa.Table, None]:
    """Yield what a span of a log holds as tables, one at least; raises as `blocks_of`."""
    told = False
    async with aclosing(blocks_of(log, span)) as blocks:
        async for block in blocks:
            rows.add(block)
            if rows.is_full:
                told = True
                yield rows.table()
    if len(rows) or not told:
        yield rows.table()


async def _plan(
    introduced: Introduction, prefix: str, since: Boundary | None, until: Boundary | None
) -> Plan:
    client = await connect(introduced.access, "flux-history")
    try:
        log = JetStreamLog(client)
        spans = [await span_between(log, p, since, until) for p in introduced.partitioning.of_prefix(prefix)]
        return Plan(introduced, spans, sum([await size_bytes(log, span) for span in spans]))
    finally:
        await client.close()


async def size_bytes(log: EventLog, span: Span) -> int:
    """Return about how large a span is in the log."""
    usage = await log.usage(span.partition)
    return usage.size_bytes * span.blocks // max(1, usage.blocks)


async def _next(tables: AsyncGenerator[pa.Table, None]) -> pa.Table | None:
    return await anext(tables, None)


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine, also where an event loop runs already, as in a notebook."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()
