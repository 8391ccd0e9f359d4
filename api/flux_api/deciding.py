"""Waiting for what becomes of events that the fold decides, before their senders are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from flux_actors import limits
from flux_actors.domain.event import Event, terms_in
from flux_actors.domain.position import Packed
from flux_actors.domain.terms import Terms
from flux_actors.errors import FluxError
from flux_api.decisions import Decided, refusal_of, unknown
from flux_api.feed import PartitionFeed
from flux_api.submission import Published, Submission
from flux_api.view import LiveView

_log = structlog.get_logger(__name__)


class FeedDecisions:
    """What a door hears of through its feeds."""

    def __init__(self, parts: Sequence[PartitionFeed], view: LiveView, wait_s: float) -> None:
        self._parts = parts
        self._view = view
        self._wait_s = wait_s

    async def refusal(self, event: Event, terms: Terms, partition: int, position: Packed) -> FluxError | None:
        """Wait until the event was applied or refused, and return why it was not applied."""
        part = self._parts[partition]
        await part.reached(position >> limits.offset_bits, self._wait_s)
        refused = part.verdicts.refused(position)
        if refused is None:
            return unknown()
        if not refused:
            return None
        entity = await self._view.get(event.entity_id or "")
        return refusal_of(event, terms, entity.public() if entity.lives else None)


class Deciding:
    """The events of one publisher whose senders wait for what was decided."""

    def __init__(self, decided: Decided | None) -> None:
        self._decided = decided
        self._under_way: set[asyncio.Task[None]] = set()

    def tell(self, published: Published, terms: Terms, done: Callable[[Published | FluxError], None]) -> None:
        """Have `done` hear what became of an event that is durable."""
        self._later(self._tell(published, terms, done))

    def tell_all(self, submission: Submission, done: Callable[[Submission], None]) -> None:
        """Have `done` hear of a submission, of which those have failed that were refused."""
        self._later(self._tell_all(submission, done))

    async def close(self) -> None:
        """Let what is under way finish."""
        await asyncio.gather(*self._under_way)

    def _later(self, deciding: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(deciding)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _tell(
        self, published: Published, terms: Terms, done: Callable[[Published | FluxError], None]
    ) -> None:
        done(await self._refusal(published, terms) or published)

    async def _tell_all(self, submission: Submission, done: Callable[[Submission], None]) -> None:
        waiting: dict[int, Coroutine[Any, Any, FluxError | None]] = {}
        for index, partition, position in submission.places():
            event = submission.events[index]
            terms = terms_in(event) if isinstance(event, Event) else None
            if isinstance(event, Event) and terms is not None and terms.decides:
                waiting[index] = self._refusal(Published(event, partition, position), terms)
        for index, refusal in zip(waiting, await asyncio.gather(*waiting.values()), strict=True):
            if refusal is not None:
                submission.undo(index, refusal)
        done(submission)

    async def _refusal(self, published: Published, terms: Terms) -> FluxError | None:
        if self._decided is None:
            return unknown()
        try:
            return await self._decided.refusal(
                published.event, terms, published.partition, published.position
            )
        except FluxError as error:
            return error
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever, whatever went wrong
            _log.error("decision.fault", error=repr(error), exc_info=error)
            return unknown()
