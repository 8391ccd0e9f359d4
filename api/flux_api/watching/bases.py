"""How a subscription begins, until it is live: with states, behind a position, or with a condition.

While that goes on, what the feed brings for the subscription is held. When the base is in, and the feed
has come to where the base is true, the rest of what was held goes out in slices, and with the last of them
the subscription is live: no gap, and nothing twice.

A condition needs to know what an entity was before a change. A door mirrors what conditions are asked of,
so such a subscription begins with a picture of the mirror. What happened behind a position cannot be told
from that: so a resumed condition begins anew (`resync`), unless nothing has happened since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Final, TypeVar

from flux_actors import limits
from flux_actors.domain.change import Change
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.position import Packed, text_of_all
from flux_actors.domain.where import where_of
from flux_actors.feed.patience import patiently
from flux_api.watching.ground import Ground, Recall, end_of
from flux_api.watching.lens import Views
from flux_api.watching.losses import Loss
from flux_api.watching.mirrors import Mirror
from flux_api.watching.outlet import Piece
from flux_api.watching.subscription import Seat, Subscription

_STEP: Final = 500  # rows or changes rendered in one go: about 1 ms

T = TypeVar("T")
MaySee = Callable[[Seat, str], bool]


class Bases:
    """Begins subscriptions; each of its calls runs as the task of one."""

    def __init__(self, ground: Ground, views: Views, may_see: MaySee) -> None:
        self._ground = ground
        self._views = views
        self._may_see = may_see

    async def begin(self, subscription: Subscription) -> None:
        """Begin a new subscription."""
        if subscription.mirror is not None:
            await self._begin_mirrored(subscription, subscription.mirror)
        elif subscription.options.places is not None:
            recalls = await self._recalls(subscription)
            if recalls is None:
                await self.begin_anew(subscription)
                return
            await self._tell_changes(subscription, recalls)
        elif subscription.options.initial:
            await self._tell_states(subscription)
        await self._go_live(subscription)

    async def recover(self, subscription: Subscription, loss: Loss) -> None:
        """Go on behind a loss with what the log knows of it."""
        recall = await loss.recall()
        if recall is None:
            await self.begin_anew(subscription, loss)
            return
        if subscription.holding is not None:
            subscription.holding.cover(loss.partition, None, recall.as_of)
        of, newest = subscription.seat.of, loss.newest
        own = [change for change in recall.changes if of(change.entity_id, newest) is subscription]
        await self._tell_changes(subscription, [(loss.partition, Recall(recall.as_of, own))])
        await self._go_live(subscription)

    async def begin_anew(self, subscription: Subscription, loss: Loss | None = None) -> None:
        """Say that changes may have been missed, and tell the states.

        One that did not ask for them is told those of which it is known that they changed in a `loss`.
        """
        seat = subscription.seat
        if subscription.holding is not None:
            subscription.holding.uncover()
        await seat.freed()
        subscription.told = True
        seat.send([Piece(self._views.resync(subscription.pattern))])
        if subscription.mirror is not None:
            await self._picture(subscription, subscription.mirror)
        elif subscription.options.initial:
            await self._tell_states(subscription)
        elif loss is not None:
            await self._tell_lost(subscription, loss.rows(subscription.pattern))
        await self._go_live(subscription)

    async def _begin_mirrored(self, subscription: Subscription, mirror: Mirror) -> None:
        await mirror.filled()
        if subscription.options.places is not None:
            if not await self._has_rested(subscription):
                await self.begin_anew(subscription)
                return
        elif subscription.options.initial:
            await self._picture(subscription, mirror)
        else:
            await self._catch_up_mirrored(subscription, mirror)
        await self._go_live(subscription)

    async def _has_rested(self, subscription: Subscription) -> bool:
        """Whether nothing has happened since the places that it resumes from."""
        recalls = await self._recalls(subscription)
        return recalls is not None and not any(recall.changes for _, recall in recalls)

    async def _recalls(self, subscription: Subscription) -> list[tuple[int, Recall]] | None:
        """Return what happened behind the places of a subscription, `None` when that is not known."""
        places = subscription.options.places or {}
        recalls: list[tuple[int, Recall]] = []
        left = limits.resume_changes_max
        for partition in self._ground.partitions_of(subscription.pattern):
            if partition not in places:
                return None
            await patiently(self._ground.reached, partition, 0)
            recall = await patiently(self._ground.recall, subscription.pattern, partition, places[partition])
            left -= len(recall.changes) if recall is not None else 0
            if recall is None or left < 0:
                return None
            if subscription.holding is not None:
                subscription.holding.cover(partition, None, recall.as_of)
            recalls.append((partition, recall))
        return recalls

    async def _tell_changes(self, subscription: Subscription, recalls: list[tuple[int, Recall]]) -> None:
        lens = subscription.lens
        for partition, recall in recalls:
            for changes in _steps(recall.changes):
                await subscription.seat.freed()
                told = [
                    (one.entity_id, Piece(self._views.change(lens, one, partition), partition, one.position))
                    for one in changes
                ]
                self._send(subscription, told)

    async def _tell_states(self, subscription: Subscription) -> None:
        """Tell the present state as the shards have it."""
        for partition in self._ground.partitions_of(subscription.pattern):
            await patiently(self._ground.reached, partition, 0)
            after: str | None = None
            while True:
                await subscription.seat.freed()
                base = await patiently(self._ground.base, subscription.pattern, partition, after)
                if subscription.holding is not None:
                    subscription.holding.cover(partition, base.end, base.as_of)
                self._send(subscription, self._states(subscription, base.rows))
                if base.end is None:
                    break
                after = base.end

    async def _picture(self, subscription: Subscription, mirror: Mirror) -> None:
        """Tell the present state as a mirror has it, as far as the condition holds."""
        for rows in _steps(await _taken(subscription, mirror)):
            await subscription.seat.freed()
            self._send(subscription, self._states(subscription, _matching(subscription, rows)))

    async def _catch_up_mirrored(self, subscription: Subscription, mirror: Mirror) -> None:
        """Tell what came into sight since the subscription began, while the mirror was not ready."""
        rows = await _taken(subscription, mirror)
        ends = {partition: end_of(place) for partition, place in subscription.since.items()}
        of = self._ground.partition_of
        changed = [row for row in rows if row.position > ends.get(of(row.entity_id), -1)]
        changed.sort(key=attrgetter("position"))  # whoever breaks off in between comes back from one of them
        for some in _steps(changed):
            await subscription.seat.freed()
            told = []
            for row in _matching(subscription, some):
                partition = self._ground.partition_of(row.entity_id)
                frames = self._views.whole(subscription.lens, row, partition)
                told.append((row.entity_id, Piece(frames, partition, row.position)))
            self._send(subscription, told)

    async def _tell_lost(self, subscription: Subscription, rows: Sequence[EntityRow]) -> None:
        """Tell what changed while changes were lost: states, and ends."""
        for some in _steps(rows):
            await subscription.seat.freed()
            dead = [row for row in some if row.properties is None]
            lens = subscription.lens._replace(merged=True)
            told = self._states(subscription, [row for row in some if row.properties is not None])
            for row in dead:
                partition = self._ground.partition_of(row.entity_id)
                end = Change(row.position, row.entity_id, None, row.updated_us)
                told.append((row.entity_id, Piece(self._views.deletion(lens, end, partition))))
            self._send(subscription, told)

    async def _go_live(self, subscription: Subscription) -> None:
        """Let out what was held, then hold no longer."""
        holding = subscription.holding
        if holding is None:
            return
        for partition, position in holding.reaches.items():
            await patiently(self._ground.reached, partition, position >> limits.offset_bits)
        while True:
            await subscription.seat.freed()
            taken = holding.take(limits.fan_out_slice_bytes)
            told = [(one.entity_id, Piece(one.frames, one.partition, one.position)) for one in taken]
            self._send(subscription, told)
            if not holding.held:
                subscription.go_live()
                if subscription.options.live:
                    self._tell_live(subscription)
                return

    def _tell_live(self, subscription: Subscription) -> None:
        places = {p: self._ground.place(p) for p in self._ground.partitions_of(subscription.pattern)}
        known = {p: Packed(end_of(place)) for p, place in places.items() if place is not None}
        live = self._views.live(subscription.request_id, subscription.pattern, text_of_all(known))
        subscription.seat.send([Piece(live)])

    def _states(self, subscription: Subscription, rows: Sequence[EntityRow]) -> list[tuple[str, Piece]]:
        told = []
        for row in rows:
            partition = self._ground.partition_of(row.entity_id)
            told.append((row.entity_id, Piece(self._views.state(subscription.lens, row, partition))))
        return told

    def _send(self, subscription: Subscription, told: Sequence[tuple[str, Piece]]) -> None:
        """Send what its watcher may see."""
        seat = subscription.seat
        pieces = [piece for entity_id, piece in told if piece.frames and self._may_see(seat, entity_id)]
        if pieces:
            subscription.told = True
            seat.send(pieces)


def _steps(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield all items, some at a time."""
    for begin in range(0, len(items), _STEP):
        yield items[begin : begin + _STEP]


def _matching(subscription: Subscription, rows: Sequence[EntityRow]) -> list[EntityRow]:
    """Return those of which the subscription's condition holds."""
    holds = where_of(subscription.options.where or "")
    return [row for row in rows if holds(row.properties or {})]


async def _taken(subscription: Subscription, mirror: Mirror) -> list[EntityRow]:
    """Return a picture of a mirror; what was held until this moment is in it."""
    await mirror.filled()
    if subscription.holding is not None:
        subscription.holding.clear()
    return mirror.rows()
