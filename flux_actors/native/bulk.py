"""Publishing many events at once: checked and encoded first, then block after block to the log.

All are looked at before the first is published: whatever is refused, nothing has happened. Then each
partition's events go in order, some pieces on their way at a time. What gets no answer is told by its place
and its id. Measured on two cores with events of three properties, acknowledged by a log that syncs each
block: see docs/ray.md.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from flux_actors import limits
from flux_actors.domain.entity_id import CORE_NAMESPACE
from flux_actors.domain.event import Event
from flux_actors.domain.position import Packed, text_of_all
from flux_actors.errors import FluxError, NotAllDurable, Refused, Unavailable
from flux_actors.log.block import encode_events
from flux_actors.log.committer import Committer, Outcome
from flux_actors.native.events import STREAM, check_event_id, plain_properties
from flux_actors.native.link import Link
from flux_actors.native.receipts import Receipts

_SLICE: Final = 1_000  # looked at and encoded in one go: about 2 ms
_WAIT_S: Final = 0.05
Pair = tuple[str, Mapping[str, Any]]


class _Piece(NamedTuple):
    """Encoded events of one partition, and their places among all."""

    data: bytes
    places: Sequence[int]


class _Flight(NamedTuple):
    """A piece on its way."""

    places: Sequence[int]
    outcome: asyncio.Future[Outcome]


async def publish_many(
    link: Link, pairs: Iterable[Pair], event_ids: Sequence[str] | None, now_ms: int, *, once: bool
) -> Receipts:
    """Publish and return when all are durable.

    Raises:
        Refused: one of them cannot be published; then none was.
        NotAllDurable: of some it is not known.
    """
    ids, properties = await _checked(link, pairs)
    named = link.ids.take_many(now_ms, len(ids)) if event_ids is None else _named(event_ids, len(ids))
    pieces = await _encoded(link, ids, properties, named, now_ms, once=once)
    sent = await asyncio.gather(
        *(_Sending(link.committer(partition), queue).run() for partition, queue in pieces.items())
    )
    newest = {
        partition: position
        for partition, (position, _) in zip(pieces, sent, strict=True)
        if position is not None
    }
    text = text_of_all(newest)
    lost = sorted(place for _, places in sent for place in places)
    if lost:
        message = f"{len(lost)} of {len(ids)} events are not known to be durable; publish them again"
        raise NotAllDurable(message, lost, [named[place] for place in lost], text)
    return Receipts(text, named, {partition: int(position) for partition, position in newest.items()})


async def _checked(link: Link, pairs: Iterable[Pair]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return ids and properties of events that may be published."""
    ids: list[str] = []
    found: list[dict[str, Any]] = []
    prefix = link.standing.writes()
    bytes_max = limits.entity_id_bytes_max
    for place, pair in enumerate(pairs):
        try:
            entity_id, properties = pair
            if not (
                prefix is not None
                and type(entity_id) is str
                and entity_id.isascii()
                and entity_id.isprintable()
                and 0 < len(entity_id) <= bytes_max
                and entity_id.startswith(prefix)
                and not entity_id.startswith(CORE_NAMESPACE)
            ):
                link.standing.check_write(entity_id)
            found.append(plain_properties(properties))
            ids.append(entity_id)
        except (TypeError, ValueError):
            raise _at(place, Refused("it is no pair of an id and properties")) from None
        except Refused as refused:
            raise _at(place, refused) from None
        if place % _SLICE == 0:
            await asyncio.sleep(0)
    return ids, found


def _named(event_ids: Sequence[str], count: int) -> list[str]:
    if len(event_ids) != count:
        raise Refused(f"there are {count} events and {len(event_ids)} event_ids")
    return [check_event_id(one) for one in event_ids]


async def _encoded(
    link: Link,
    ids: list[str],
    properties: list[dict[str, Any]],
    named: Sequence[str],
    now_ms: int,
    *,
    once: bool,
) -> dict[int, deque[_Piece]]:
    """Return the pieces of each partition, in order."""
    source = link.ticket.source
    pieces: dict[int, deque[_Piece]] = {}
    for begin in range(0, len(ids), limits.block_events_max):
        some = ids[begin : begin + limits.block_events_max]
        events = [
            Event(entity_id, one, event_id, once, source, STREAM, now_ms)
            for entity_id, one, event_id in zip(
                some, properties[begin : begin + len(some)], named[begin : begin + len(some)], strict=True
            )
        ]
        for partition, offsets in _groups(link.partitioning.of_entities(some)).items():
            own = pieces.setdefault(partition, deque())
            _cut(link.committer(partition), events, offsets, begin, own)
        await asyncio.sleep(0)
    return pieces


def _groups(partitions: list[int]) -> dict[int, Sequence[int]]:
    """Return the offsets of each partition's events."""
    if len(set(partitions)) == 1:
        return {partitions[0]: range(len(partitions))}
    groups: dict[int, list[int]] = {}
    for offset, partition in enumerate(partitions):
        groups.setdefault(partition, []).append(offset)
    return dict(groups)


def _cut(
    committer: Committer, events: list[Event], offsets: Sequence[int], begin: int, into: deque[_Piece]
) -> None:
    """Encode events into pieces, each as large as a block takes."""
    chosen = events if len(offsets) == len(events) else [events[offset] for offset in offsets]
    try:
        data = encode_events(chosen)
    except (OverflowError, UnicodeError, TypeError, RecursionError) as error:
        if len(chosen) == 1:
            reason = Refused(f"its properties cannot be encoded ({error})")
            raise _at(begin + offsets[0], reason) from None
        data = b""
    most = committer.event_bytes_max if len(chosen) == 1 else committer.piece_bytes_max
    if data and len(data) <= most:
        into.append(_Piece(data, [begin + offset for offset in offsets]))
    elif len(chosen) == 1:
        text = f"it has {len(data)} bytes; an event may have at most {committer.event_bytes_max} in this log"
        raise _at(begin + offsets[0], Refused(text, 413))
    else:
        middle = len(offsets) // 2
        _cut(committer, events, offsets[:middle], begin, into)
        _cut(committer, events, offsets[middle:], begin, into)


class _Sending:
    """Sends the pieces of one partition in order."""

    def __init__(self, committer: Committer, queue: deque[_Piece]) -> None:
        self._committer = committer
        self._queue = queue
        self._flights: deque[_Flight] = deque()
        self._newest: Packed | None = None
        self._lost: list[int] = []

    async def run(self) -> tuple[Packed | None, list[int]]:
        """Return the position of the last one that is durable, and the places of those that may not be.

        Behind one that got no answer nothing more is sent: publishing that again would overtake it.
        """
        loop = asyncio.get_running_loop()
        patience = loop.time() + limits.append_deadline_s
        while self._queue and not self._lost:
            if len(self._flights) >= limits.native_pieces_max:
                await self._land()
            elif self._sent(self._queue[0]):
                self._queue.popleft()
                patience = loop.time() + limits.append_deadline_s
            elif self._flights:
                await self._land()
            elif loop.time() < patience:
                await asyncio.sleep(_WAIT_S)
            else:
                self._lost += self._queue.popleft().places
        while self._flights:
            await self._land()
        for piece in self._queue:
            self._lost += piece.places
        return self._newest, self._lost

    def _sent(self, piece: _Piece) -> bool:
        """Whether the committer has taken a piece."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settled(found: Outcome) -> None:
            if not outcome.done():
                outcome.set_result(found)

        try:
            self._committer.put(piece.data, len(piece.places), settled)
        except Unavailable:
            return False
        self._flights.append(_Flight(piece.places, outcome))
        return True

    async def _land(self) -> None:
        """Wait for the oldest piece on its way."""
        flight = self._flights.popleft()
        outcome = await flight.outcome
        if isinstance(outcome, Unavailable):
            self._lost += flight.places
        else:
            self._newest = Packed(outcome + len(flight.places) - 1)


def _at(place: int, refused: FluxError) -> Refused:
    """Return a refusal that says of which event it is."""
    status = refused.status if isinstance(refused, Refused) else 400
    return Refused(f"event {place} of those to publish: {refused.message}", status, more={"index": place})
