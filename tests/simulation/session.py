"""One client: it asks any door that lives, tries again under the same eventId, and notes what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_api.claiming import Order
from tests.simulation.calls import Gone
from tests.simulation.chance import Chance
from tests.simulation.door import Door, Place, Seen
from tests.simulation.ledger import ACKED, REFUSED, Deed, Grant, Ledger, Reading
from tests.simulation.loop import SimulatedLoop

_T = TypeVar("_T")
_ASK_S: Final = (1.0, 30.0)  # how patient a client is with one request
_RETRY_S: Final = (0.01, 0.6)
_TRIES_MAX: Final = 60
DECIDED: Final = (409, 412)  # events that were told not to apply


class Doors(Protocol):
    """What clients know of a Flux."""

    loop: SimulatedLoop
    rule: Partitioning
    ledger: Ledger

    def living_doors(self) -> list[Door]:
        """Return the doors that can be reached."""
        ...

    def note(self, who: str, what: str, /, **facts: Any) -> None:
        """Keep what happened, for who looks at a history."""
        ...


class Away(Exception):
    """There was no answer: it may have been done or not."""


class Session:
    """A client."""

    def __init__(self, doors: Doors, name: str, seed: int) -> None:
        self.doors = doors
        self.name = name
        self.chance = Chance(seed, name)
        self.seen: dict[int, int] = {}  # the newest position it was told, by partition
        self._events = 0

    async def rest(self, most_s: float) -> None:
        """Do nothing for a while."""
        await asyncio.sleep(self.chance.seconds(0.0, most_s))

    async def publish(
        self,
        entity_id: str,
        properties: dict[str, Any],
        *,
        named: bool = True,
        condition: dict[str, Any] | None = None,
        **more: Any,
    ) -> Deed:
        """Publish an event, again and again until it is known what became of it; without a name once."""
        deed = self._deed(entity_id, properties, named=named)
        body = self.body(deed, condition, **more)
        await self._until_known(deed, lambda door: door.publish(body), named=named)
        return deed

    async def publish_all(self, drafts: list[tuple[str, dict[str, Any]]], *, whole: bool) -> list[Deed]:
        """Publish a batch, with the same ids until it is known what became of each event."""
        deeds = [self._deed(entity_id, properties, named=True) for entity_id, properties in drafts]
        bodies = [self.body(deed) for deed in deeds]
        for _ in range(_TRIES_MAX):
            try:
                found = await self.ask(lambda door: door.publish_all(bodies, whole=whole))
            except (Away, Unavailable):
                await self.rest(_RETRY_S[1])
                continue
            unknown = False
            for deed, outcome in zip(deeds, found, strict=True):
                unknown |= not self._took(deed, outcome)
            if not unknown:
                break
            await self.rest(_RETRY_S[1])
        return deeds

    async def read(self, entity_id: str) -> Seen | None:
        """Read an entity such that all is in it that this client was told; `None` when nobody answers."""
        partition = self.doors.rule.of_entity(entity_id)
        at_least = self.seen.get(partition, 0)
        try:
            seen: Seen = await self.ask(lambda door: door.read(entity_id, partition, at_least))
        except (Away, Unavailable):
            return None
        self.doors.ledger.readings.append(
            Reading(self.name, entity_id, at_least, seen, self.doors.loop.time())
        )
        self.saw(partition, seen.as_of)
        return seen

    async def release(self, order: Order) -> None:
        """Let a claim go, if it is there still."""
        try:
            await self.ask(lambda door: door.release_claim(order))
        except (Away, Unavailable):
            return
        except Refused as error:
            _expect(error)

    async def claim(self, order: Order) -> Grant | None:
        """Take or renew a claim; `None` when somebody else has it, or nobody knows."""
        began_s = self.doors.loop.time()
        try:
            held = await self.ask(lambda door: door.take_claim(order))
        except (Away, Unavailable):
            return None
        except Refused as error:
            _expect(error)
            return None
        grant = Grant(order.entity_id, order.holder, held["token"], began_s, self.doors.loop.time())
        self.doors.ledger.grants.append(grant)
        self.doors.note(self.name, "holds", entity=order.entity_id, token=held["token"])
        return grant

    async def ask(self, work: Callable[[Door], Coroutine[Any, Any, _T]]) -> _T:
        """Ask a door.

        Raises:
            Away: there was no answer. FluxError: as the door raises it.
        """
        doors = self.doors.living_doors()
        if not doors:
            await self.rest(0.2)
            raise Away
        door = self.chance.choice(doors)
        try:
            found: _T = await door.call(lambda: work(door), None, self.chance.seconds(*_ASK_S))
        except (Gone, TimeoutError):
            raise Away from None
        return found

    def saw(self, partition: int, position: int) -> None:
        """Note that everything up to a position counts for what comes next."""
        self.seen[partition] = max(self.seen.get(partition, 0), position)

    def body(self, deed: Deed, condition: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Return the JSON of an event."""
        payload = {"entity_id": deed.entity_id, "properties": deed.properties} | more
        body: dict[str, Any] = {"stream": "sim", "source": self.name, "payload": payload}
        if deed.event_id is not None:
            body["eventId"] = deed.event_id
        if condition is not None:
            body["condition"] = condition
        return body

    def _deed(self, entity_id: str, properties: dict[str, Any], *, named: bool) -> Deed:
        self._events += 1
        event_id = f"{self.name}-{self._events}" if named else None
        deed = Deed(self.name, entity_id, event_id, properties, self.doors.loop.time())
        self.doors.ledger.deeds.append(deed)
        return deed

    async def _until_known(
        self, deed: Deed, work: Callable[[Door], Coroutine[Any, Any, Place]], *, named: bool
    ) -> None:
        for _ in range(_TRIES_MAX if named else 1):
            try:
                outcome: Place | FluxError = await self.ask(work)
            except Away:
                outcome = Unavailable("no answer")
            except FluxError as error:
                outcome = error
            if self._took(deed, outcome):
                return
            await asyncio.sleep(self.chance.seconds(*_RETRY_S))

    def _took(self, deed: Deed, outcome: Place | FluxError) -> bool:
        """Note what a client was told of an event; return whether that is the last word."""
        if deed.outcome == ACKED:
            return True
        if isinstance(outcome, Unavailable):
            return False
        deed.ended_s = self.doors.loop.time()
        if isinstance(outcome, Place):
            deed.outcome, deed.place = ACKED, outcome
            self.saw(outcome.partition, outcome.position)
            self.doors.note(self.name, "acked", event=deed.event_id, at=(outcome.partition, outcome.position))
            return True
        _expect(outcome)
        deed.outcome = REFUSED
        self.doors.note(self.name, "refused", event=deed.event_id)
        return True


def _expect(error: FluxError) -> None:
    """Pass on what no client of the simulation should be told."""
    if not isinstance(error, Refused) or error.status not in DECIDED:
        raise error


Role = Callable[[Session], Coroutine[Any, Any, None]]
