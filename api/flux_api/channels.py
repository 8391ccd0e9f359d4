"""Who watches what: sockets with the same interest sit in one channel and get the same bytes.

An interest is an exact id, a prefix that ends in `/` (`ns/*`), or everything. A socket with one pattern
sits in that pattern's channel; one that watches everything in the channel of everything, whatever else it
named; one with several patterns in a channel of its own. So each socket is in one channel at most, each
change goes to it once, and what a thousand sockets watch alike is joined once.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from flux_actors import limits
from flux_actors.errors import Refused
from flux_api.conflation import Lag
from flux_api.watcher import EVERYTHING, Watcher, prefixes


@dataclass(slots=True, eq=False)
class Channel:
    """Sockets with the same interest, and what is about to be written to them."""

    patterns: set[str]
    own: bool = False  # of one socket with several patterns
    watchers: set[Watcher] = field(default_factory=set)
    behind: int = 0  # how many of them are too slow
    frames: list[bytes] = field(default_factory=list)


_NOBODY: Final[frozenset[Channel]] = frozenset()


class Channels:
    """All channels of a door, by what they are about."""

    def __init__(self) -> None:
        self._by_id: dict[str, set[Channel]] = {}
        self._by_prefix: dict[str, set[Channel]] = {}
        self._everything: dict[str, set[Channel]] = {}  # one entry, if anybody watches everything
        self._of_one: dict[str, Channel] = {}
        self._seats: dict[Watcher, Channel] = {}

    def __bool__(self) -> bool:
        """Whether any socket watches anything."""
        return bool(self._seats)

    def of(self, entity_id: str) -> AbstractSet[Channel]:
        """Return the channels that an entity concerns, each once."""
        found: AbstractSet[Channel] = self._everything.get(EVERYTHING, _NOBODY)
        if self._by_prefix:
            for prefix in prefixes(entity_id):
                found = found | self._by_prefix.get(prefix, _NOBODY)
        exact = self._by_id.get(entity_id)
        return found | exact if exact is not None else found

    def join(self, watcher: Watcher) -> None:
        """Seat a socket that has not chosen yet."""
        self._seat(watcher, EVERYTHING)

    def leave(self, watcher: Watcher) -> None:
        """Let a socket go."""
        self._move(watcher, None)

    def subscribe(self, watcher: Watcher, pattern: str) -> None:
        """Have `watcher` get what `pattern` names; raises `Refused` when it has too many."""
        self.take(watcher, pattern)
        self._seat(watcher, pattern)

    def take(self, watcher: Watcher, pattern: str) -> None:
        """Note that a socket has a pattern; raises `Refused` when it has too many."""
        if pattern not in watcher.patterns and len(watcher.patterns) >= limits.socket_patterns_max:
            raise Refused(f"one socket may have at most {limits.socket_patterns_max} subscriptions")
        watcher.chose = True
        watcher.patterns.add(pattern)

    def unsubscribe(self, watcher: Watcher, pattern: str) -> None:
        """Have `watcher` get no longer what `pattern` alone named."""
        watcher.patterns.discard(pattern)
        self._seat(watcher, pattern)

    def fall_behind(self, watcher: Watcher, lag: Lag) -> None:
        """Note that a socket is too slow."""
        watcher.lag = lag
        if watcher in self._seats:
            self._seats[watcher].behind += 1

    def catch_up(self, watcher: Watcher) -> None:
        """Note that a socket is no longer too slow."""
        watcher.lag = None
        if watcher in self._seats:
            self._seats[watcher].behind -= 1

    def _seat(self, watcher: Watcher, changed: str) -> None:
        """Put a socket where its interest belongs, of which the pattern `changed` came or went."""
        interest, seat = watcher.interest, self._seats.get(watcher)
        if EVERYTHING in interest:
            self._move(watcher, self._shared(EVERYTHING))
        elif len(interest) <= 1:
            self._move(watcher, self._shared(*interest) if interest else None)
        elif seat is None or not seat.own:
            self._move(watcher, Channel(set(interest), own=True))
        elif changed not in interest:
            self._close(seat, {changed} & seat.patterns)
        elif changed not in seat.patterns:
            self._open(seat, {changed})

    def _move(self, watcher: Watcher, seat: Channel | None) -> None:
        before = self._seats.get(watcher)
        if before is seat:
            return
        slow = watcher.lag is not None
        if seat is not None:
            if not seat.watchers:
                self._open(seat, seat.patterns)
            self._seats[watcher] = seat
            seat.watchers.add(watcher)
            seat.behind += slow
        else:
            del self._seats[watcher]
        if before is not None:
            before.watchers.discard(watcher)
            before.behind -= slow
            if not before.watchers:
                self._close(before, before.patterns)

    def _shared(self, pattern: str) -> Channel:
        return self._of_one.get(pattern) or Channel({pattern})

    def _open(self, channel: Channel, patterns: set[str]) -> None:
        """Have a channel be found under more patterns."""
        for pattern in patterns:
            if not channel.own:
                self._of_one[pattern] = channel
            table, key = self._place(pattern)
            table.setdefault(key, set()).add(channel)
        channel.patterns = channel.patterns | patterns

    def _close(self, channel: Channel, patterns: set[str]) -> None:
        """Have a channel be found under these patterns no longer."""
        for pattern in patterns:
            if not channel.own:
                del self._of_one[pattern]
            table, key = self._place(pattern)
            table[key].discard(channel)
            if not table[key]:
                del table[key]
        channel.patterns = channel.patterns - patterns

    def _place(self, pattern: str) -> tuple[dict[str, set[Channel]], str]:
        if pattern == EVERYTHING:
            return self._everything, pattern
        if pattern.endswith("/*"):
            return self._by_prefix, pattern[:-1]
        return self._by_id, pattern
