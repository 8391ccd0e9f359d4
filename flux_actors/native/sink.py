"""Rows of a dataset into the log: `dataset.write_datasink(FluxSink())`.

Each task commits the rows that it is given, straight to the log as a door does. Ray may run a task again: its
events then have the ids that they had before, made of job, task and content, so that each counts once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from flux_actors.domain.event import Event
from flux_actors.domain.position import Packed, highest, text_of_all
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.log.block import encode_event
from flux_actors.log.committer import Committer, Outcome
from flux_actors.log.connection import connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.ports import EventLog
from flux_actors.native.introduction import Introduction, introduction
from flux_actors.tenancy.authorising import sift
from flux_actors.tenancy.registry import Registry

try:
    import pyarrow as pa
    from ray.data import Datasink
    from ray.data.block import Block, BlockAccessor
    from ray.data.datasource.datasink import WriteResult

    from flux_actors.native.batches import Batch, Label, check_columns
except ImportError as missing:
    raise ImportError("batch jobs need Ray Data: pip install 'flux-actors[data]'") from missing

_JOB_CHARS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Written:
    """How many events were committed, and up to which packed position of each partition."""

    events: int = 0
    positions: dict[int, Packed] = field(default_factory=dict)

    def __add__(self, other: Written) -> Written:
        both = [*self.positions.items(), *other.positions.items()]
        return Written(self.events + other.events, highest(both))


class FluxSink(Datasink[Written]):
    """Publishes the rows of one dataset, once.

    Rows have `entity_id` and `properties`: a struct, whose nulls are left out, or the text of a JSON object,
    which goes as it stands.

    Arguments:
        job: names the work, so that doing it again within two minutes doubles nothing; made up if missing.
        source: of the events.
        stream: of the events.
        token: says what may be written, where tokens are on.
    """

    def __init__(
        self,
        *,
        job: str | None = None,
        source: str = "ray-data",
        stream: str = "batch",
        token: str | None = None,
        introduced: Introduction | None = None,
    ) -> None:
        self.job = job or uuid.uuid4().hex
        if len(self.job) > _JOB_CHARS_MAX:
            raise Refused(f"job must have at most {_JOB_CHARS_MAX} characters")
        self._source = source
        self._stream = stream
        self._introduced = introduced or introduction(token)
        self._has_begun = False
        self.written = Written()  # in all, once the dataset is written

    @property
    def position(self) -> str:
        """The text of the positions up to which was written, `""` before."""
        return text_of_all(self.written.positions)

    def on_write_start(self, schema: Any = None) -> None:
        """Look whether the rows can be written.

        Raises:
            Refused: columns are missing; or a dataset was written already, whose ids would come again.
        """
        if self._has_begun:
            raise Refused("a FluxSink writes one dataset; make another for this one")
        self._has_begun = True
        if schema is not None:
            check_columns(list(schema.names))

    def write(self, blocks: Iterable[Block], ctx: Any) -> Written:
        """Commit the rows of one task.

        Raises:
            Refused: a row is no event, or may not be written.
            Unavailable: the log was away for too long; what was committed has its id.
        """
        label = Label(self.job, ctx.task_idx, self._source, self._stream)
        tables = (BlockAccessor.for_block(block).to_arrow() for block in blocks)
        filled = (table for table in tables if table.num_rows)  # Ray has others, without columns
        first = next(filled, None)
        if first is None:
            return Written()
        return asyncio.run(_write(self._introduced, chain([first], filled), label))

    def on_write_complete(self, write_result: WriteResult[Written]) -> None:
        """Take what the tasks have written."""
        self.written = sum(write_result.write_returns, Written())


async def _write(introduced: Introduction, tables: Iterable[pa.Table], label: Label) -> Written:
    client = await connect(introduced.access, "flux-sink")
    try:
        writer = BatchWriter(JetStreamLog(client), introduced)
        return await writer.write(tables, label)
    finally:
        await client.close()


class BatchWriter:
    """Commits the rows of one task."""

    def __init__(self, log: EventLog, introduced: Introduction) -> None:
        self._log = log
        self._principal = introduced.principal
        self._partitioning = introduced.partitioning
        self._committers: dict[int, Committer] = {}

    async def write(self, tables: Iterable[pa.Table], label: Label) -> Written:
        """Commit the rows of tables in order, and return what was written; raises as `FluxSink.write`."""
        batch, written = Batch(label), Written()
        for table in tables:
            for events in batch.events_of(table, time.time_ns() // 1_000_000):
                written += await self._commit(events)
        return written

    async def _commit(self, events: list[Event]) -> Written:
        """Commit some events, all of them or as many as the log takes."""
        self._check(events)
        shares: dict[int, list[bytes]] = defaultdict(list)
        partitions = self._partitioning.of_entities([event.entity_id for event in events])
        for partition, event in zip(partitions, events, strict=True):
            shares[partition].append(encode_event(event))
        outcomes = await asyncio.gather(
            *(self._committer(partition).commit(share) for partition, share in shares.items())
        )
        return sum(map(_written, shares, outcomes), Written())

    def _check(self, events: list[Event]) -> None:
        """Raise the first refusal of events that the principal may not write."""
        for checked in sift(self._principal, [*events], Registry(), time.time_ns() // 1_000):
            if isinstance(checked, FluxError):
                raise checked

    def _committer(self, partition: int) -> Committer:
        if partition not in self._committers:
            self._committers[partition] = Committer(self._log, partition, secrets.randbits(63), _now_us)
        return self._committers[partition]


def _written(partition: int, outcomes: list[Outcome]) -> Written:
    """Return what was committed to a partition; raises `Unavailable` unless it is all."""
    positions = [outcome for outcome in outcomes if not isinstance(outcome, Unavailable)]
    for outcome in outcomes:
        if isinstance(outcome, Unavailable):
            count = len(outcomes) - len(positions)
            raise Unavailable(f"{count} of {len(outcomes)} rows were not written: {outcome.message}")
    return Written(len(outcomes), {partition: max(positions)})


def _now_us() -> int:
    return time.time_ns() // 1_000
