"""What one user of Flux can do, as coroutines on the loop of Flux's thread, for `Flux` and `AsyncFlux`."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from flux_actors import limits
from flux_actors.domain.event import Event
from flux_actors.domain.position import Packed, parse, text_of
from flux_actors.errors import NotAllDurable, Refused, Unavailable
from flux_actors.native import events
from flux_actors.native.bulk import Pair, publish_many
from flux_actors.native.claiming import Claiming
from flux_actors.native.copies import Copies
from flux_actors.native.link import Link
from flux_actors.native.process import Home, here
from flux_actors.native.publishing import commit, commit_decided
from flux_actors.native.receipts import Receipt, Receipts
from flux_actors.native.session import Session
from flux_actors.native.ticket import Ticket
from flux_actors.native.watch import Watch

_NOT_THERE: Final = 404


class Core:
    """One user of Flux."""

    def __init__(self, ticket: Ticket, session: Session, home: Home) -> None:
        self.ticket = ticket
        self.session = session
        self.home = home
        self._open: set[Watch | Copies | Claiming] = set()
        self.closed = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a ticket and positions; what is open here is not there."""
        return _arrived, (self.ticket, self.session.positions())

    async def link(self) -> Link:
        """Return the link, with what may be done through it up to date.

        Raises:
            Refused: the token is none, or this user has closed. Unavailable: Flux cannot be reached.
        """
        if self.closed:
            raise Refused("this connection to Flux was closed; connect again")
        link = await self.home.link(self.ticket)
        await link.standing.current()
        return link

    async def publish(
        self,
        entity_id: str,
        properties: Any,
        event_id: str | None,
        ttl_s: float | None,
        *,
        if_absent: bool = False,
        if_present: bool = False,
        if_match: str | None = None,
    ) -> Receipt:
        """Publish one event."""
        link = await self.link()
        checked = link.standing.check_write(entity_id)
        terms = events.terms_of(ttl_s, if_absent=if_absent, if_present=if_present, if_match=if_match)
        now_ms = _now_ms()
        named = _named(link, event_id, now_ms)
        found = events.plain_properties(properties)
        event = events.event_of(checked, found, named, self.ticket.source, now_ms, terms)
        if terms is None or not terms.decides:
            return self._receipt(event, *await commit(link, event))
        return self._receipt(event, *await commit_decided(link, event, terms))

    async def delete(self, entity_id: str, event_id: str | None) -> Receipt:
        """Delete an entity."""
        link = await self.link()
        now_ms = _now_ms()
        named = _named(link, event_id, now_ms)
        event = events.deletion_of(link.standing.check_write(entity_id), named, self.ticket.source, now_ms)
        return self._receipt(event, *await commit(link, event))

    async def publish_many(
        self, pairs: Iterable[Pair], event_ids: Sequence[str] | None, *, once: bool
    ) -> Receipts:
        """Publish many events."""
        link = await self.link()
        try:
            receipts = await publish_many(link, pairs, event_ids, _now_ms(), once=once)
        except NotAllDurable as error:
            if error.position:
                self.include(error.position)
            raise
        for partition, position in receipts.positions.items():
            self.session.note(partition, position)
        return receipts

    async def tell(self, entity_id: str, message: Any, event_id: str | None) -> Receipt:
        """Send an entity's behaviour a message through the log."""
        link = await self.link()
        now_ms = _now_ms()
        named = _named(link, event_id, now_ms)
        checked = link.standing.check_write(entity_id)
        event = events.told_of(checked, message, named, self.ticket.source, now_ms)
        return self._receipt(event, *await commit(link, event))

    async def ask(self, entity_id: str, message: Any, deadline_s: float) -> Any:
        """Return what an entity's behaviour answers."""
        link = await self.link()
        checked = link.standing.check_write(entity_id)  # a question may have effects
        partition = link.partitioning.of_entity(checked)
        answered = await link.asking.ask(
            *(partition, checked, events.plain(message), link.ids.take(_now_ms())),
            self.session.after(partition),
            _seconds(deadline_s),
        )
        for touched, position in answered.positions.items():
            self.session.note(touched, position)
        return answered.content

    async def states(self, ids: Iterable[str]) -> dict[str, dict[str, Any] | None]:
        """Return the properties of entities, `None` of those that do not exist."""
        link = await self.link()
        wanted = list(dict.fromkeys(ids))
        there = [entity_id for entity_id in wanted if _is_shown(link, entity_id)]
        rows = await link.reading.rows(there, self.session.after)
        return {one: rows[one].properties if one in rows else None for one in wanted}

    async def watch(self, entity_id: str) -> Watch:
        """Begin to watch an entity."""
        link = await self.link()
        watch = Watch(link.standing.check_read(entity_id), link.following, link.standing, self.session)
        await self._keep(watch)
        return watch

    async def live(self, prefix: str, timeout_s: float) -> Copies:
        """Return copies of all entities whose ids begin with `prefix`, once they show the present."""
        link = await self.link()
        checked = link.standing.check_prefix(prefix)
        copies = Copies(checked, link.following, link.standing, self.session)
        try:
            async with asyncio.timeout(timeout_s):
                await self._keep(copies)
        except TimeoutError:
            await self.end(copies)
            raise Unavailable(f"the entities of {prefix!r} could not be read in {timeout_s:g} s") from None
        return copies

    async def claim(self, entity_id: str, holder: str | None, ttl_s: float) -> Claiming:
        """Take the claim on an entity."""
        claiming = Claiming(await self.link(), entity_id, holder, ttl_s)
        taken_at = await claiming.take()
        self.session.note(claiming.partition, taken_at)
        self._open.add(claiming)
        return claiming

    async def end(self, one: Watch | Copies | Claiming) -> None:
        """Close something that was begun here."""
        self._open.discard(one)
        await one.close()

    async def close(self) -> None:
        """Close all that was begun here; the link stays for others of this process."""
        self.closed = True
        for one in tuple(self._open):
            await self.end(one)

    def include(self, position: str) -> None:
        """Have later reads include a position."""
        for partition, packed in parse(position, limits.partitions_max).items():
            self.session.note(partition, packed)

    async def _keep(self, one: Watch | Copies) -> None:
        self._open.add(one)
        try:
            await one.open()
        except BaseException:
            await self.end(one)
            raise

    def _receipt(self, event: Event, partition: int, position: Packed) -> Receipt:
        self.session.note(partition, position)
        return Receipt(text_of(partition, position), event.event_id)


def _arrived(ticket: Ticket, positions: dict[int, int]) -> Core:
    """Return the user that came from another process; it connects when it is first needed."""
    return Core(ticket, Session(positions), here())


def _is_shown(link: Link, entity_id: str) -> bool:
    """Whether there is anything to read for this user; raises `Refused` for what it must not ask."""
    try:
        link.standing.check_read(entity_id)
    except Refused as refused:
        if refused.status == _NOT_THERE:
            return False
        raise
    return True


def _named(link: Link, event_id: str | None, now_ms: int) -> str:
    return link.ids.take(now_ms) if event_id is None else events.check_event_id(event_id)


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise Refused("deadline_s must be a number of seconds above 0")
    return float(value)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
