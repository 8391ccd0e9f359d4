"""Rows of a dataset into the log: `dataset.write_datasink(FluxSink())`.

Each task publishes the rows that it is given, straight to the log. Ray may run a task again: its events then
have the ids that they had before, made of job, task and content, so that each counts once.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flux_actors import limits
from flux_actors.domain.position import Packed, highest, text_of_all
from flux_actors.errors import NotAllDurable, Refused
from flux_actors.native.bulk import Pair
from flux_actors.native.core import Core
from flux_actors.native.process import here
from flux_actors.native.session import Session
from flux_actors.native.ticket import Ticket

try:
    from ray.data import Datasink
    from ray.data.block import Block, BlockAccessor
    from ray.data.datasource.datasink import WriteResult

    from flux_actors.native.batch.outgoing import Batch, check_columns
except ImportError as missing:
    raise ImportError("batch jobs need Ray Data: pip install 'flux-actors[data]'") from missing

_RETRY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Written:
    """How many events were published, and up to which packed position of each partition."""

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
        source: of the events.
        token: of a namespace, where tokens are on.
        namespace: the one that may be written, where tokens are off; if missing, all.
    """

    def __init__(
        self,
        *,
        source: str = "ray-data",
        token: str | None = None,
        namespace: str | None = None,
    ) -> None:
        self.job = uuid.uuid4().hex  # the ids of its events begin so
        self._ticket = Ticket.checked(token, namespace, source)
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
        """Publish the rows of one task.

        Raises:
            Refused: a row is no event, or may not be written; those some thousands in front of it were.
            Unavailable: the log was away for too long; what was published has its id.
        """
        batch, session, home = Batch(self.job, ctx.task_idx), Session(), here()
        core = Core(self._ticket, session, home)
        events = 0
        for block in blocks:
            for pairs, ids in batch.events_of(BlockAccessor.for_block(block).to_arrow()):
                try:
                    home.thread.run(publish(core, pairs, ids))
                except Refused as refused:
                    raise batch.at(events, refused) from None
                events += len(pairs)
        return Written(events, {p: Packed(position) for p, position in session.positions().items()})

    def on_write_complete(self, write_result: WriteResult[Written]) -> None:
        """Take what the tasks have written."""
        self.written = sum(write_result.write_returns, Written())


async def publish(core: Core, pairs: Sequence[Pair], ids: Sequence[str]) -> None:
    """Publish events, again and again those of which it is not known, until they are durable.

    Raises:
        NotAllDurable: some are not, after `history_patience_s`. Refused: none was published.
    """
    deadline = asyncio.get_running_loop().time() + limits.history_patience_s
    while True:
        try:
            await core.publish_many(pairs, ids, once=True)
        except NotAllDurable as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise
            pairs, ids = [pairs[index] for index in error.indexes], error.event_ids
            await asyncio.sleep(_RETRY_S)
        else:
            return
