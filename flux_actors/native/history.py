"""The history of the log as a source of Ray Data: `ray.data.read_datasource(FluxHistory("home/"))`.

What is read is settled when a `FluxHistory` is made: of each partition that the prefix concerns, the span
between two boundaries. The spans are cut into pieces of equal length, and a task reads each straight from the
log and hands on table after table. So the log is read once, in parallel, and is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from flux_actors.domain.position import Packed, text_of_all
from flux_actors.log.ports import EventLog
from flux_actors.native.batch.boundaries import Boundary, read_boundary, span_between
from flux_actors.native.batch.log_reading import blocks_of
from flux_actors.native.batch.sight import Sight, read_tenants
from flux_actors.native.batch.spans import Span, cut
from flux_actors.native.core import Core
from flux_actors.native.process import here
from flux_actors.native.session import Session
from flux_actors.native.ticket import DEFAULT_SOURCE, Ticket

try:
    import pyarrow as pa
    from ray.data import Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    from flux_actors.native.batch.rows import SCHEMA, Rows
except ImportError as missing:
    raise ImportError("batch jobs need Ray Data: pip install 'flux-actors[data]'") from missing


class Plan(NamedTuple):
    """What is read."""

    spans: list[Span]
    size_bytes: int  # about, as the log has it


class FluxHistory(Datasource):
    """Events of the log, a row each, as they were published.

    Arguments:
        prefix: what the ids of their entities begin with; `""` means all, and events of no entity as well.
        since: an RFC 3339 time, from which on; or a position, behind which. If missing, the log's beginning.
        until: an RFC 3339 time, in front of which; or a position, up to which. If missing, now.
        token: of a namespace, where tokens are on.

    Raises:
        Refused: 410, the log was trimmed behind `since`; 400, it does not reach to a position; 401, the token
            is none.
        Unavailable: Flux cannot be reached.
    """

    def __init__(
        self,
        prefix: str = "",
        since: str | None = None,
        until: str | None = None,
        *,
        token: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's has no types
        self._prefix = prefix
        self._ticket = Ticket.checked(token, None, DEFAULT_SOURCE)
        begin = None if since is None else read_boundary(since, "since")
        end = None if until is None else read_boundary(until, "until")
        self._plan: Plan = here().thread.run(_plan(self._ticket, prefix, begin, end))

    @property
    def through(self) -> str:
        """The positions up to which is read: a job that goes on there has them as `since`."""
        return text_of_all({span.partition: Packed(span.end - 1) for span in self._plan.spans})

    def estimate_inmemory_data_size(self) -> int:
        return self._plan.size_bytes

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: object = None,  # noqa: ARG002 - Ray passes it
    ) -> list[ReadTask]:
        """Return tasks that read a piece each."""
        spans, size_bytes = self._plan
        pieces = cut(spans, parallelism) or spans[:1]  # an empty one tells the schema
        blocks = sum(piece.blocks for piece in pieces)
        return [
            ReadTask(
                partial(tables_of, self._ticket, piece, self._prefix),
                BlockMetadata(None, size_bytes * piece.blocks // max(1, blocks), None),
                SCHEMA,
                per_task_row_limit,
            )
            for piece in pieces
        ]


def tables_of(ticket: Ticket, span: Span, prefix: str) -> Iterator[pa.Table]:
    """Yield what a span holds as tables, one at least; the body of a Ray task."""
    thread = here().thread
    tables = _tables(ticket, span, prefix)
    try:
        while (table := thread.run(_next(tables))) is not None:
            yield table
    finally:
        thread.run(tables.aclose())


async def _tables(ticket: Ticket, span: Span, prefix: str) -> AsyncGenerator[pa.Table, None]:
    link = await Core(ticket, Session(), here()).link()
    principal = link.standing.principal
    sight = Sight(principal, await read_tenants(link.client, principal), span.partition)
    async with aclosing(tables_in(link.log, span, Rows(span, prefix, sight))) as tables:
        async for table in tables:
            yield table


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


async def _plan(ticket: Ticket, prefix: str, since: Boundary | None, until: Boundary | None) -> Plan:
    link = await Core(ticket, Session(), here()).link()
    partitions = link.partitioning.of_prefix(prefix)
    spans = [await span_between(link.log, partition, since, until) for partition in partitions]
    return Plan(spans, sum([await size_bytes(link.log, span) for span in spans]))


async def size_bytes(log: EventLog, span: Span) -> int:
    """Return about how large a span is in the log."""
    usage = await log.usage(span.partition)
    return usage.size_bytes * span.blocks // max(1, usage.blocks)


async def _next(tables: AsyncGenerator[pa.Table, None]) -> pa.Table | None:
    return await anext(tables, None)
