"""Waiting for what becomes of events that the fold decides, before their senders are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec
import structlog

from flux_actors import limits
from flux_actors.domain.event import Event, terms_in
from flux_actors.domain.position import Packed
from flux_actors.domain.terms import ABSENT, PRESENT, Condition, Terms
from flux_actors.errors import FluxError, Refused
from flux_actors.feed.decisions import TOGETHER, Decided, refusal_of, unknown
from flux_actors.feed.feeds import PartitionFeed
from flux_api.cached import CachedEntity
from flux_api.submission import Published, Submission
from flux_api.view import LiveView

_NONE: Final = Terms()
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
        shown = entity.public() if entity.lives else None
        if terms.together and _stands(terms.condition, partition, entity):
            return Refused(TOGETHER, 412)
        return refusal_of(event, terms, shown)


def _stands(condition: Condition | None, partition: int, entity: CachedEntity) -> bool:
    """Whether it was not this event's condition, as far as the present tells, that was not met."""
    if condition in (None, PRESENT):
        return condition is None or entity.lives
    if condition == ABSENT:
        return not entity.lives
    return entity.lives and condition == (partition, entity.position)


def together_in(events: Sequence[Event | FluxError]) -> int:
    """Return how many events apply all or none, 0 for those of which each stands alone."""
    first = events[0] if events else None
    terms = terms_in(first) if isinstance(first, Event) else None
    return 0 if terms is None else terms.together


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
        together = together_in(submission.events)
        for index, partition, position in submission.places():
            event = submission.events[index]
            if not isinstance(event, Event):
                continue
            terms = terms_in(event) or _NONE
            if together or terms.decides:
                terms = msgspec.structs.replace(terms, together=together)
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
