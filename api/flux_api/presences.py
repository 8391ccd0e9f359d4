"""Presence: entities that live as long as the socket that tied them to itself.

Such an entity has a lease with the socket as its owner. The door renews it while the socket is open and ends
it when the socket is gone; if the door is gone too, nobody renews it and it ends by itself. Both are events
that the fold applies only while the socket still owns the lease: who has published the entity since keeps it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.domain.event import DELETED, Event, TermedEvent, server_event, terms_in, with_terms
from flux_actors.domain.position import Packed
from flux_actors.domain.terms import PRESENCE_SOURCE, Terms
from flux_actors.errors import FluxError, Refused
from flux_actors.feed.feeds import PartitionFeed
from flux_actors.log.event_ids import EventIds
from flux_actors.tenancy.principal import ANYONE, Principal
from flux_api.publishing import Publisher
from flux_api.submission import Submission

_STREAM: Final = "flux.presence"
_RENEWAL: Final[dict[str, Any]] = {}
_AT_ONCE: Final = 1_000  # renewed in one go


def tied(event: Event, owner: str) -> TermedEvent:
    """Return an event that ties its entity to a socket.

    Raises:
        Refused: it makes no entity, or has a time to live of its own.
    """
    if event.entity_id is None or not event.properties or event.deletes:
        raise Refused("presence needs payload.entity_id and properties: it is about an entity")
    terms = terms_in(event) or Terms()
    if terms.ttl_ms is not None:
        raise Refused("give either presence or ttl_ms, not both")
    return with_terms(event, msgspec.structs.replace(terms, ttl_ms=limits.presence_ttl_ms, owner=owner))


@dataclass(slots=True)
class _Tie:
    """What ties an entity to a socket."""

    principal: Principal  # who did: it ends with what that may do
    renewed: tuple[int, Packed] | None = None  # the partition and position of the newest renewal


class Presences:
    """The entities that are tied to the sockets of one door."""

    def __init__(self, publisher: Publisher, parts: Sequence[PartitionFeed], door: str) -> None:
        self._publisher = publisher
        self._parts = parts
        self._door = door
        self._sockets = 0
        self._ids = EventIds()
        self._tied: dict[str, dict[str, _Tie]] = {}
        self._ended: dict[str, Callable[[str], None]] = {}  # what sockets hear of entities that they lost
        self._renewing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many entities are kept alive."""
        return sum(map(len, self._tied.values()))

    def new_owner(self) -> str:
        """Return a name for a socket that nobody else has."""
        self._sockets += 1
        return f"{self._door}.{self._sockets}"

    def count(self, owner: str) -> int:
        """Return how many entities are tied to a socket."""
        return len(self._tied.get(owner, ()))

    def tie(self, owner: str, entity_id: str, principal: Principal, ended: Callable[[str], None]) -> None:
        """Keep an entity alive from now on; `ended` hears when that is over before the socket is."""
        self._ended[owner] = ended
        self._tied.setdefault(owner, {})[entity_id] = _Tie(principal)
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew_for_ever())

    def leave(self, owner: str, *more: str) -> None:
        """End the entities of a socket that is gone, and `more` that were about to be tied to it."""
        ids = self._tied.pop(owner, {})
        self._ended.pop(owner, None)
        ends = [self._event(owner, entity_id, {DELETED: True}, None) for entity_id in {*ids, *more}]
        if ends:
            self._publisher.submit_events(ends, ANYONE, _unheard)  # what fails ends with its lease

    async def close(self) -> None:
        """Renew nothing more."""
        if self._renewing is not None:
            self._renewing.cancel()

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(limits.presence_renew_s)
            keys = [key for owner, ties in self._tied.items() for key in self._held_still(owner, ties)]
            for first in range(0, len(keys), _AT_ONCE):
                self._renew(keys[first : first + _AT_ONCE])
                await asyncio.sleep(0)

    def _held_still(self, owner: str, ties: dict[str, _Tie]) -> list[tuple[str, str]]:
        """Return what is still tied to a socket, and have it hear of all else.

        Somebody else may have it by now, it may have been deleted, the log may have been away for too long.
        Or the token of who tied it was taken back: then it ends with its lease.
        """
        for entity_id, tie in list(ties.items()):
            renewed = tie.renewed
            refused = renewed is not None and self._parts[renewed[0]].verdicts.refused(renewed[1])
            if refused or not self._publisher.may_write(tie.principal, entity_id):
                del ties[entity_id]
                self._ended[owner](entity_id)
        return [(owner, entity_id) for entity_id in ties]

    def _renew(self, keys: list[tuple[str, str]]) -> None:
        def renewed(submission: Submission) -> None:
            for index, partition, position in submission.places():
                owner, entity_id = keys[index]
                if entity_id in (ties := self._tied.get(owner, {})):
                    ties[entity_id].renewed = (partition, position)

        ttl_ms = limits.presence_ttl_ms
        renewals = [self._event(owner, entity_id, _RENEWAL, ttl_ms) for owner, entity_id in keys]
        self._publisher.submit_events(renewals, ANYONE, renewed)

    def _event(
        self, owner: str, entity_id: str, properties: dict[str, Any], ttl_ms: int | None
    ) -> Event | FluxError:
        now_ms = time.time_ns() // 1_000_000
        event = server_event(entity_id, properties, self._ids.take(now_ms), now_ms, PRESENCE_SOURCE, _STREAM)
        return with_terms(event, Terms(ttl_ms=ttl_ms, owner=owner))


def _unheard(_: Submission) -> None:
    """Nobody waits for it."""
