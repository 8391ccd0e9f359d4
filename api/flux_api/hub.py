"""The hub: handing each change to the sockets that watch it, and looking after those that are too slow.

A change is rendered once. Its frames are collected per channel and written to each of the channel's
sockets in one piece, for a bounded amount at a time. A socket whose transport holds too much falls behind:
from then on it is told nothing directly, and what it is owed is kept, merged, in the conflation that all
slow sockets share. When its transport is empty again it is sent that, one slice of one socket between two
turns of the event loop, so that nobody else waits for it.

Those who watch with options sit at the desk (`watching/desk.py`) instead of in channels.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Final

from flux_actors import limits
from flux_actors.domain.acting.faults import audience_of
from flux_actors.domain.change import Change, UnreadChange
from flux_actors.domain.entity import EntityRow
from flux_actors.errors import Refused
from flux_actors.tenancy.authorising import may_read
from flux_actors.tenancy.principal import NOBODY, UNKNOWN, Kind, Principal
from flux_actors.tenancy.registry import Registry
from flux_api.channels import Channel, Channels
from flux_api.conflation import Conflation, Lag
from flux_api.frames import Renderer, framed, message
from flux_api.watcher import Watcher
from flux_api.watching.desk import Desk
from flux_api.watching.ground import Ground
from flux_api.watching.options import PLAIN, Options
from flux_api.watching.outlet import Piece

_REVOKED: Final = message(
    type="error", error="the token of this socket was revoked; authenticate with another one"
)


class Hub:
    """All watchers of one door."""

    def __init__(self, registry: Registry | None = None, ground: Ground | None = None) -> None:
        self.watchers: set[Watcher] = set()
        self._registry = Registry() if registry is None else registry
        self._holders: dict[
            str, set[Watcher]
        ] = {}  # of tokens, by namespace: whom hidden changes may concern
        self._channels = Channels()
        self._renderer = Renderer()
        self._conflation = Conflation(self._renderer)
        self._desk = (
            Desk(ground, self._registry, self._renderer, self._conflation) if ground is not None else None
        )
        self._pressed: set[Watcher] = set()  # their transports hold more than they should
        self._behind: set[Watcher] = set()
        self._draining: dict[Watcher, None] = {}  # slow ones whose transports are empty, in turn
        self._drain_handle: asyncio.Handle | None = None
        self.fanned_out = 0  # changes that were looked at
        self.conflations = 0  # times that somebody fell behind

    @property
    def slow(self) -> int:
        """How many watchers are behind."""
        return len(self._behind)

    @property
    def watched(self) -> bool:
        """Whether any socket watches anything."""
        return bool(self._channels) or bool(self._desk)

    @property
    def owed_entities(self) -> int:
        """How many entities are kept for sockets that are too slow."""
        return len(self._conflation)

    def join(self, watcher: Watcher) -> None:
        """Add a socket that has not chosen yet."""
        self.watchers.add(watcher)
        self._channels.join(watcher)

    def leave(self, watcher: Watcher) -> None:
        """Remove a socket."""
        self.watchers.discard(watcher)
        self._pressed.discard(watcher)
        if watcher.lag is not None:
            self._catch_up(watcher, watcher.lag)
        self._channels.leave(watcher)
        if self._desk is not None:
            self._desk.leave(watcher)
        self.identify(watcher, NOBODY)

    def identify(self, watcher: Watcher, principal: Principal) -> None:
        """Note whose socket this is."""
        if watcher.principal.kind is Kind.HOLDER:
            holders = self._holders[watcher.principal.namespace]
            holders.discard(watcher)
            if not holders:
                del self._holders[watcher.principal.namespace]
        watcher.principal = principal
        if principal.kind is Kind.HOLDER:
            self._holders.setdefault(principal.namespace, set()).add(watcher)

    def look_at_tokens(self) -> None:
        """Take those whose token was revoked for strangers from now on, and tell them."""
        holders = {watcher for watchers in self._holders.values() for watcher in watchers}
        for watcher in holders:
            if not self._registry.has_token(watcher.principal.token_id):
                self.identify(watcher, UNKNOWN)
                watcher.link.write(framed(_REVOKED.encode()))

    def subscribe(
        self, watcher: Watcher, pattern: str, options: Options = PLAIN, request_id: Any = None
    ) -> None:
        """Have `watcher` get what `pattern` names; what `options` ask for first comes later.

        Raises:
            Refused: it has too many subscriptions, or this hub knows no options.
        """
        desk, plain = self._desk, options == PLAIN and watcher.outlet is None
        if desk is None or (plain and desk.seat_of(watcher) is None):
            if options != PLAIN:
                raise Refused("options of a subscription are not to be had here")
            self._channels.subscribe(watcher, pattern)
            return
        self._channels.take(watcher, pattern)
        self._channels.leave(watcher)
        seat = desk.join(watcher)
        seat.pressed = watcher in self._pressed
        desk.subscribe(watcher, pattern, options, request_id)

    def unsubscribe(self, watcher: Watcher, pattern: str) -> None:
        """Have `watcher` get no longer what `pattern` alone named."""
        if self._desk is not None and self._desk.seat_of(watcher) is not None:
            watcher.patterns.discard(pattern)
            self._desk.unsubscribe(watcher, pattern)
        else:
            self._channels.unsubscribe(watcher, pattern)

    def place_of(self, pattern: str) -> str:
        """Return the text of the position up to which a pattern's changes were told, "" if there is none."""
        return self._desk.place_of(pattern) if self._desk is not None else ""

    def is_settled(self, watcher: Watcher) -> bool:
        """Whether a watcher has been told all that its subscriptions begin with."""
        seat = self._desk.seat_of(watcher) if self._desk is not None else None
        return seat is None or not seat.pending

    def press(self, watcher: Watcher) -> None:
        """Note that a socket's transport is filling up."""
        self._pressed.add(watcher)
        if self._desk is not None:
            self._desk.press(watcher, pressed=True)

    def relieve(self, watcher: Watcher) -> None:
        """Note that a socket's transport is empty again, and send what the socket is owed."""
        self._pressed.discard(watcher)
        if self._desk is not None:
            self._desk.press(watcher, pressed=False)
        if watcher.lag is not None:
            self._drain_later(watcher)

    def dispatch(self, changes: Sequence[UnreadChange | Change]) -> None:
        """Tell each change to those who watch it, and may."""
        self._dispatch(changes, self._desk or None)

    def lost(self, partition: int, rows: Sequence[EntityRow]) -> None:
        """Tell the entities that changed while changes of a partition were lost, as they are now."""
        self._dispatch([Change(r.position, r.entity_id, r.properties, r.updated_us) for r in rows], None)
        if self._desk is not None:
            self._desk.lost(partition, rows)

    def _dispatch(self, changes: Sequence[UnreadChange | Change], desk: Desk | None) -> None:
        touched: list[Channel] = []
        private: dict[Watcher, list[bytes]] = {}
        size = 0
        hidden = self._registry.hidden
        self.fanned_out += len(changes)
        self._look_for_slow()
        for unread in changes:
            if desk is not None:
                size += desk.take(unread)
            channels = self._channels.of(unread.entity_id)
            if channels:
                change = unread.read()
                if hidden and audience_of(change.entity_id) in hidden:
                    size += self._collect_hidden(change, channels, private)
                elif not (self._behind and self._conflate(change, channels)):
                    size += self._collect(change, channels, touched)
            if size >= limits.fan_out_slice_bytes:
                self._write(touched, private, desk)
                size = 0
                self._look_for_slow()
        self._write(touched, private, desk)

    def _write(self, touched: list[Channel], private: dict[Watcher, list[bytes]], desk: Desk | None) -> None:
        """Write what was collected."""
        _write(touched)
        _write_private(private)
        if desk is not None:
            desk.flush()

    def _collect(self, change: Change, channels: AbstractSet[Channel], touched: list[Channel]) -> int:
        """Add a change to what is about to be written to its channels; return its size."""
        frames = self._renderer.frames_of(change)
        for channel in channels:
            if not channel.frames:
                touched.append(channel)
            channel.frames.append(frames)
        return len(frames)

    def _collect_hidden(
        self, change: Change, channels: AbstractSet[Channel], private: dict[Watcher, list[bytes]]
    ) -> int:
        """Add a change that not everybody may see to what is about to be written to those who may."""
        if self._behind:
            self._conflation.put(change)  # whoever is sent it from there is asked for then
        holders = self._holders.get(audience_of(change.entity_id))
        if holders is None:
            return 0
        watchers = [watcher for channel in channels for watcher in channel.watchers & holders]
        allowed: dict[str, bool] = {}
        frames = b""
        for watcher in watchers:
            if watcher.lag is None and self._may_see(watcher.principal, change.entity_id, allowed):
                frames = frames or self._renderer.frames_of(change)
                private.setdefault(watcher, []).append(frames)
        return len(frames)

    def _may_see(self, principal: Principal, entity_id: str, known: dict[str, bool]) -> bool:
        """Whether an entity is there for `principal`; asked once for all sockets of its token."""
        found = known.get(principal.token_id)
        if found is None:
            found = may_read(principal, entity_id, self._registry, time.time_ns() // 1_000)
            known[principal.token_id] = found
        return found

    def _may_have(self, watcher: Watcher, entity_id: str) -> bool:
        """Whether an entity concerns a socket and is there for it."""
        return watcher.wants(entity_id) and may_read(
            watcher.principal, entity_id, self._registry, time.time_ns() // 1_000
        )

    def announce(self, text: str) -> None:
        """Send a message to all who keep up."""
        frame = framed(text.encode())
        for watcher in self.watchers - self._behind:
            if watcher not in self._pressed or watcher.link.waiting_bytes() <= self._waiting_bytes_max():
                watcher.link.write(frame)

    def _conflate(self, change: Change, channels: AbstractSet[Channel]) -> bool:
        """Keep a change for those who are too slow; return whether they are all whom it concerns."""
        if any(channel.behind for channel in channels):
            self._conflation.put(change)
        return all(channel.behind == len(channel.watchers) for channel in channels)

    def _waiting_bytes_max(self) -> int:
        """Return how much may wait for one socket."""
        share = limits.sockets_waiting_bytes_max // max(1, len(self.watchers))
        return max(limits.fan_out_slice_bytes, min(limits.socket_waiting_bytes_max, share))

    def _look_for_slow(self) -> None:
        if not self._pressed:
            return
        bytes_max = self._waiting_bytes_max()
        for watcher in self._pressed - self._behind:
            if watcher.link.waiting_bytes() > bytes_max:
                self._behind.add(watcher)
                self.conflations += 1
                self._channels.fall_behind(watcher, self._conflation.fall_behind())

    def _catch_up(self, watcher: Watcher, lag: Lag) -> None:
        self._behind.discard(watcher)
        self._channels.catch_up(watcher)
        self._conflation.leave(lag)
        if self._desk is not None:
            self._desk.wake(watcher)

    def _drain_later(self, watcher: Watcher) -> None:
        self._draining[watcher] = None
        if self._drain_handle is None:
            self._drain_handle = asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        """Send one slice to the socket whose turn it is."""
        self._drain_handle = None
        while self._draining:
            watcher = next(iter(self._draining))
            del self._draining[watcher]
            if watcher.lag is not None and watcher not in self._pressed:
                self._send_slice(watcher, watcher.lag)
                break
        if self._draining:
            self._drain_later(next(iter(self._draining)))

    def _send_slice(self, watcher: Watcher, lag: Lag) -> None:
        seat = self._desk.seat_of(watcher) if self._desk is not None else None
        if seat is None or self._desk is None:
            frames, caught_up = self._conflation.slice_for(lag, partial(self._may_have, watcher))
        else:
            frames, caught_up = self._conflation.slice_shown(lag, partial(self._desk.owed, seat))
        if frames and seat is not None:
            seat.send([Piece(frames)])
        elif frames:
            watcher.link.write(frames)
        if caught_up:
            self._catch_up(watcher, lag)
        elif watcher not in self._pressed:
            self._draining[watcher] = None


def _write_private(private: dict[Watcher, list[bytes]]) -> None:
    """Write what was collected for single watchers, and empty the table."""
    for watcher, frames in private.items():
        watcher.link.write(b"".join(frames))
    private.clear()


def _write(channels: list[Channel]) -> None:
    """Write what was collected for these channels, and empty the list."""
    for channel in channels:
        frames = channel.frames[0] if len(channel.frames) == 1 else b"".join(channel.frames)
        channel.frames.clear()
        for watcher in channel.watchers:
            if watcher.lag is None:
                watcher.link.write(frames)
    channels.clear()
