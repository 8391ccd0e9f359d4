"""What became of events that the fold decides: conditional writes, atomic batches, claims.

Such an event is durable before anybody knows whether it applies. The feed tells how far a shard is and which
events it refused on the way, so a door waits until the feed has come to the event and then looks. A door
whose feed was lost for a while cannot know what was decided in that time, and says so: sending the event
again under its eventId is safe, for one that was applied is not applied again.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from flux_actors import limits
from flux_actors.domain.event import Event
from flux_actors.domain.position import Packed
from flux_actors.domain.terms import ABSENT, PRESENT, Terms
from flux_actors.errors import FluxError, Refused, Unavailable

_NO_WORD: Final = "it is not known whether the event applied; send it again under the same eventId"
TOGETHER: Final = (
    "not applied: the atomic batch is applied whole or not at all, and another event was refused"
)


class Verdicts:
    """The refusals of one partition that a door heard of lately."""

    def __init__(self, kept_max: int = limits.verdicts_kept_max) -> None:
        self._kept_max = kept_max
        self._refused: set[int] = set()
        self._in_order: deque[int] = deque()
        self._unknown_until = -1

    def hear(self, refused: list[int]) -> None:
        """Note positions of events that were refused; some may have been told before."""
        for position in refused:
            if position not in self._refused and position > self._unknown_until:
                self._refused.add(position)
                self._in_order.append(position)
        while len(self._in_order) > self._kept_max:
            oldest = self._in_order.popleft()
            self._refused.discard(oldest)
            self._unknown_until = max(self._unknown_until, oldest)

    def lose(self, sequence: int) -> None:
        """Note that what was decided up to the end of a block was not heard."""
        self._unknown_until = max(self._unknown_until, (sequence + 1 << limits.offset_bits) - 1)

    def refused(self, position: int) -> bool | None:
        """Whether an event was refused; `None` when that was not heard."""
        if position in self._refused:
            return True
        return None if position <= self._unknown_until else False


class Decided(Protocol):
    """Tells what became of an event that is durable."""

    async def refusal(self, event: Event, terms: Terms, partition: int, position: Packed) -> FluxError | None:
        """Return why an event did not apply, `None` when it did."""
        ...


def refusal_of(event: Event, terms: Terms, entity: object) -> Refused:
    """Return what the sender of a refused event is told: `entity` is what stands there instead."""
    if terms.claim is not None:
        return Refused(f"{event.entity_id} is claimed by somebody else", 409, more={"entity": entity})
    if terms.condition is None:
        return Refused(TOGETHER, 412)
    if terms.condition == ABSENT:
        reason = "there is one already"
    elif terms.condition == PRESENT or entity is None:
        reason = "there is none"
    else:
        reason = "it has changed since; read it and decide again"
    return Refused(f"the condition on {event.entity_id} was not met: {reason}", 412, more={"entity": entity})


def unknown() -> Unavailable:
    """Return what the sender is told when nobody can know."""
    return Unavailable(_NO_WORD)
