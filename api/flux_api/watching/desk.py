"""The desk: all watchers with options of one door, by what they watch.

A change goes to the newest subscription of each watcher that names its entity. It is rendered once per
lens; conditions are asked once per mirror and text. What it gives is collected per watcher and sent when
the hub says so, held while a subscription waits for its base, and left to the conflation for a watcher that
is too slow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import structlog

from flux_actors.domain.acting.faults import audience_of
from flux_actors.domain.change import Change, UnreadChange
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.pattern import overlap
from flux_actors.domain.position import Packed, text_of_all
from flux_actors.domain.where import where_of
from flux_actors.feed.holding import Held, Total
from flux_actors.tenancy.authorising import may_read
from flux_actors.tenancy.registry import Registry
from flux_api.conflation import Conflation, Entry
from flux_api.frames import Renderer
from flux_api.watcher import Watcher
from flux_api.watching.bases import Bases
from flux_api.watching.ground import Ground, end_of
from flux_api.watching.lens import Views
from flux_api.watching.losses import Loss
from flux_api.watching.mirrors import Mirror, Move, Room
from flux_api.watching.options import PLAIN, Options
from flux_api.watching.outlet import Piece
from flux_api.watching.subscription import Seat, Subscription, patterns_of

_log = structlog.get_logger(__name__)
_FAILED: Final = "this subscription failed at the door; subscribe again"


class Desk:
    """Watchers with options."""

    def __init__(
        self, ground: Ground, registry: Registry, renderer: Renderer, conflation: Conflation
    ) -> None:
        self._ground = ground
        self._registry = registry
        self._conflation = conflation
        self._views = Views(renderer)
        self._bases = Bases(ground, self._views, self._may_see)
        self._seats: dict[Watcher, Seat] = {}
        self._by_pattern: dict[str, dict[Subscription, None]] = {}
        self._mirrors: dict[str, Mirror] = {}
        self._room = Room()
        self._total = Total()
        self._touched: dict[Seat, None] = {}
        self._number = 0

    def __bool__(self) -> bool:
        """Whether anybody watches with options."""
        return bool(self._seats)

    def seat_of(self, watcher: Watcher) -> Seat | None:
        """Return the seat of a watcher with options."""
        return self._seats.get(watcher)

    def place_of(self, pattern: str) -> str:
        """Return the text of where all feeds of a pattern are, "" when none has begun."""
        return text_of_all({p: Packed(end_of(s)) for p, s in self._since(pattern).items()})

    def join(self, watcher: Watcher) -> Seat:
        """Seat a watcher, with the patterns that it has already."""
        seat = self._seats.get(watcher)
        if seat is None:
            seat = self._seats[watcher] = Seat(watcher)
            for pattern in watcher.patterns:
                self._add(Subscription(seat, pattern, PLAIN, self._next()))
        return seat

    def leave(self, watcher: Watcher) -> None:
        """Let a watcher go."""
        seat = self._seats.pop(watcher, None)
        if seat is not None:
            self._touched.pop(seat, None)
            for subscription in list(seat.subscriptions.values()):
                self._remove(subscription)

    def subscribe(self, watcher: Watcher, pattern: str, options: Options, request_id: Any) -> None:
        """Have a watcher get what a pattern names, seen so; what it has to be told first comes later."""
        seat = self.join(watcher)
        seat.flush()
        before = seat.subscriptions.get(pattern)
        if before is not None:
            self._take_away(before)
        subscription = Subscription(seat, pattern, options, self._next(), request_id)
        subscription.since = self._since(pattern)
        if options.where is not None:
            subscription.mirror = self._mirror(pattern)
        self._add(subscription)
        if options.begins:
            subscription.told = False
            self._begin(subscription, self._bases.begin(subscription))

    def unsubscribe(self, watcher: Watcher, pattern: str) -> None:
        """Have a watcher get no longer what a pattern alone named."""
        subscription = self._seats[watcher].subscriptions.get(pattern)
        if subscription is not None:
            self._take_away(subscription)

    def press(self, watcher: Watcher, *, pressed: bool) -> None:
        """Note whether a watcher's transport is filling up."""
        seat = self._seats.get(watcher)
        if seat is not None:
            seat.pressed = pressed
            seat.wake()

    def wake(self, watcher: Watcher) -> None:
        """Note that a watcher has caught up."""
        seat = self._seats.get(watcher)
        if seat is not None:
            seat.owed.clear()
            seat.wake()

    def take(self, unread: UnreadChange | Change) -> int:
        """Collect what a change gives; return how many bytes it added."""
        entity_id = unread.entity_id
        mirrors = [self._mirrors[p] for p in patterns_of(entity_id) if p in self._mirrors]
        subscriptions = self._deciding(entity_id)
        if not (mirrors or subscriptions):
            return 0
        change, partition = unread.read(), self._ground.partition_of(entity_id)
        moves = {mirror.pattern: mirror.take(partition, change) for mirror in mirrors}
        hidden = audience_of(entity_id) in self._registry.hidden
        seen: dict[Any, bytes] = {}
        size = 0
        for subscription in subscriptions:
            move = moves.get(subscription.pattern)
            if subscription.mirror is not None and move is None:
                continue  # its base will have it
            where = subscription.options.where
            key = (subscription.lens, (subscription.pattern, where) if where is not None else None)
            if key not in seen:
                seen[key] = self._seen(subscription, change, partition, move)
            size += self._give(subscription, change, partition, seen[key], hidden=hidden)
        return size

    def flush(self) -> None:
        """Send what was collected."""
        for seat in self._touched:
            seat.flush()
        self._touched.clear()

    def lost(self, partition: int, rows: Sequence[EntityRow]) -> None:
        """Hear that changes were lost, before the feed goes on behind them."""
        loss = Loss(self._ground, partition, rows, self._number)
        for mirror in list(self._mirrors.values()):
            if partition in self._ground.partitions_of(mirror.pattern):
                mirror.refill()
        subscriptions = [one for seat in self._seats.values() for one in seat.subscriptions.values()]
        if any(one.options == PLAIN and not one.pending for one in subscriptions):
            self._tell_plain(partition, rows)
        self.flush()
        for subscription in subscriptions:
            if partition in self._ground.partitions_of(subscription.pattern):
                self._lose(subscription, loss)

    def owed(self, seat: Seat, entry: Entry, floor: int) -> bytes:
        """Return what became of an entity since a slow watcher was told of it last."""
        subscription = seat.of(entry.entity_id)
        if subscription is None or subscription.pending or not self._may_see(seat, entry.entity_id):
            return b""
        partition = self._ground.partition_of(entry.entity_id)
        lens = subscription.lens._replace(merged=True)
        end = b""
        if entry.deleted > floor:
            gone = Change(entry.deleted_position, entry.entity_id, None, entry.deleted_us)
            end = self._views.deletion(lens, gone, partition)
        mirror = subscription.mirror
        if mirror is None:
            return end + self._views.change(lens, entry.merged(floor), partition)
        if entry.entity_id not in seat.owed:
            return b""  # others are owed it
        row = mirror.find(entry.entity_id)
        if row is not None and where_of(subscription.options.where or "")(row.properties or {}):
            return end + self._views.whole(lens, row, partition)
        return end or self._views.left(entry.entity_id)

    def _deciding(self, entity_id: str) -> list[Subscription]:
        """Return the newest subscription of each watcher that names an entity."""
        tables = [self._by_pattern[p] for p in patterns_of(entity_id) if p in self._by_pattern]
        if len(tables) <= 1:
            return list(tables[0]) if tables else []
        newest: dict[Seat, Subscription] = {}
        for table in tables:
            for one in table:
                known = newest.get(one.seat)
                if known is None or one.number > known.number:
                    newest[one.seat] = one
        return list(newest.values())

    def _seen(self, one: Subscription, change: Change, partition: int, move: Move | None) -> bytes:
        """Return what a subscription sees of a change."""
        if one.options.where is None or move is None:
            return self._views.change(one.lens, change, partition)
        holds = where_of(one.options.where)
        held = move.before is not None and holds(move.before.properties or {})
        if move.after is None:
            return self._views.deletion(one.lens, change, partition) if held else b""
        if not holds(move.after.properties or {}):
            return self._views.left(change.entity_id) if held else b""
        if held:
            return self._views.change(one.lens, change, partition)
        return self._views.whole(one.lens, move.after, partition)

    def _give(self, one: Subscription, change: Change, partition: int, frames: bytes, *, hidden: bool) -> int:
        """Hold, owe or collect what a subscription sees of a change."""
        if not frames:
            return 0
        seat = one.seat
        if one.holding is not None:
            one.holding.put(Held(change.entity_id, partition, change.position, frames))
            if one.holding.full:
                self._begin_anew(one)
        elif seat.watcher.lag is not None:
            self._conflation.put(change)
            if one.mirror is not None:
                seat.owed.add(change.entity_id)
        elif not hidden or self._may_see(seat, change.entity_id):
            seat.pieces.append(Piece(frames, partition, change.position))
            self._touched[seat] = None
            return len(frames)
        return 0

    def _may_see(self, seat: Seat, entity_id: str) -> bool:
        return may_read(seat.watcher.principal, entity_id, self._registry, time.time_ns() // 1_000)

    def _tell_plain(self, partition: int, rows: Sequence[EntityRow]) -> None:
        """Tell those without options what they are told in their channels: the newest values."""
        for row in rows:
            change = Change(row.position, row.entity_id, row.properties, row.updated_us)
            hidden = audience_of(row.entity_id) in self._registry.hidden
            for one in self._deciding(row.entity_id):
                if one.options == PLAIN and not one.pending:
                    frames = self._views.change(one.lens, change, partition)
                    self._give(one, change, partition, frames, hidden=hidden)

    def _lose(self, one: Subscription, loss: Loss) -> None:
        """Have a subscription go on although changes were lost."""
        if one.pending and not one.told:
            self._begin(one, self._bases.begin(one))
        elif one.pending or (one.options != PLAIN and (one.mirror or one.seat.watcher.lag)):
            self._begin_anew(one, loss)
        elif one.options != PLAIN:
            self._begin(one, self._bases.recover(one, loss))

    def _begin_anew(self, one: Subscription, loss: Loss | None = None) -> None:
        self._begin(one, self._bases.begin_anew(one, loss))

    def _begin(self, one: Subscription, begins: Any) -> None:
        one.wait(self._total)
        one.base = asyncio.create_task(begins)
        one.base.add_done_callback(partial(self._has_begun, one))

    def _has_begun(self, one: Subscription, base: asyncio.Task[None]) -> None:
        if one.base is base and not base.cancelled() and base.exception() is not None:
            _log.error("watch.base_failed", pattern=one.pattern, error=repr(base.exception()))
            self._end(one, _FAILED)

    def _end(self, one: Subscription, text: str) -> None:
        """Take a subscription away that cannot go on."""
        one.seat.flush()
        self._take_away(one)
        one.seat.watcher.patterns.discard(one.pattern)
        one.seat.send([Piece(self._views.error(one.request_id, one.pattern, text))])

    def _take_away(self, one: Subscription) -> None:
        """Take a subscription out of a seat that stays.

        What an older pattern would have told while this one waited for its base is not known any more.
        """
        was_pending = one.pending
        self._remove(one)
        if was_pending:
            for other in list(one.seat.subscriptions.values()):
                if other.number < one.number and overlap(other.pattern, one.pattern):
                    self._begin_anew(other)

    def _add(self, one: Subscription) -> None:
        one.seat.subscriptions[one.pattern] = one
        self._by_pattern.setdefault(one.pattern, {})[one] = None

    def _remove(self, one: Subscription) -> None:
        one.end()
        one.seat.subscriptions.pop(one.pattern, None)
        table = self._by_pattern[one.pattern]
        table.pop(one, None)
        if not table:
            del self._by_pattern[one.pattern]
        mirror, one.mirror = one.mirror, None
        if mirror is not None:
            mirror.watchers -= 1
            if not mirror.watchers:
                mirror.close()
                self._mirrors.pop(mirror.pattern, None)

    def _mirror(self, pattern: str) -> Mirror:
        mirror = self._mirrors.get(pattern)
        if mirror is None:
            mirror = self._mirrors[pattern] = Mirror(pattern, self._ground, self._room, self._mirror_failed)
        mirror.watchers += 1
        return mirror

    def _mirror_failed(self, mirror: Mirror) -> None:
        """End, soon, what watches a mirror that has become too large."""
        asyncio.get_running_loop().call_soon(self._end_all, mirror)

    def _end_all(self, mirror: Mirror) -> None:
        text = mirror.error.message if mirror.error is not None else _FAILED
        for one in list(self._by_pattern.get(mirror.pattern, ())):
            if one.mirror is mirror:
                self._end(one, text)

    def _since(self, pattern: str) -> dict[int, int]:
        places = {p: self._ground.place(p) for p in self._ground.partitions_of(pattern)}
        return {p: place for p, place in places.items() if place is not None}

    def _next(self) -> int:
        self._number += 1
        return self._number
