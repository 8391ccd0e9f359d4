"""The newest values of what slow sockets have not been told yet, kept once for all of them.

A socket that falls behind costs nothing while it does not read: it remembers the number of the last
change it was told (its floor), and the changes behind the lowest floor are merged here by entity, for all
slow sockets together, each property with the number of its change. So the size is bounded by the state
itself: one entry per entity that changed since the slowest socket fell behind, holding one reference per
property to a value that the feed brought; a property that changes again replaces its value.

A socket that takes data again is sent what it is owed in rounds: the entities that changed since its
floor, oldest first, in slices. An entity that changes during the round is sent with its newest values and
again in the next round, so a socket that is always slow still gets round to every entity. A round that
ends raises the floor to where the round began. When nothing is owed it has caught up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any, Final

from flux_actors import limits
from flux_actors.domain.change import Change
from flux_api.frames import Renderer, framed, message

_NEVER: Final = -1


class Entry:
    """What became of one entity; the numbers say which change did it."""

    __slots__ = (
        "clock_us",
        "deleted",
        "deleted_position",
        "deleted_us",
        "entity_id",
        "number",
        "position",
        "values",
    )

    def __init__(self, entity_id: str) -> None:
        self.entity_id = entity_id
        self.number = _NEVER  # of its newest change
        self.clock_us = 0
        self.deleted = _NEVER  # the number of its newest deletion, which ended all before it
        self.deleted_us = 0
        self.position = self.deleted_position = _NEVER
        self.values: dict[str, tuple[int, Any]] = {}

    def take(self, number: int, change: Change) -> None:
        """Merge a newer change."""
        self.number, self.clock_us, self.position = number, change.clock_us, change.position
        if change.properties is None:
            self.deleted, self.deleted_us = number, change.clock_us
            self.deleted_position = change.position
            self.values = {}
        else:
            for name, value in change.properties.items():
                self.values[name] = (number, value)

    def frames(self, renderer: Renderer, floor: int) -> bytes:
        """Return what became of it since `floor`."""
        deletion = renderer.deletion(self.entity_id, self.deleted_us) if self.deleted > floor else b""
        return deletion + renderer.frames_of(self.merged(floor))

    def merged(self, floor: int) -> Change:
        """Return the newest values of the properties that were set since `floor`, as one change."""
        values = {name: value for name, (number, value) in self.values.items() if number > floor}
        return Change(self.position, self.entity_id, values, self.clock_us)


class Lag:
    """How far one slow socket has been told."""

    __slots__ = ("floor", "owed", "round_number")

    def __init__(self, number: int) -> None:
        self.floor = number  # all changes up to this one were told
        self.round_number = number  # the newest change when its round began
        self.owed: Iterator[Entry] = iter(())


class Conflation:
    """The changes that slow sockets are owed, merged to the newest value per entity and property."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._number = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # by their newest change, oldest first
        self._lags: set[Lag] = set()
        self._newest: Change | None = None

    def __len__(self) -> int:
        """Return how many entities are kept."""
        return len(self._entries)

    def fall_behind(self) -> Lag:
        """Return the place of a socket that has been told everything up to now."""
        lag = Lag(self._number)
        self._lags.add(lag)
        return lag

    def leave(self, lag: Lag) -> None:
        """Owe a socket nothing more."""
        self._lags.discard(lag)
        self._trim()

    def put(self, change: Change) -> None:
        """Take a change that a slow socket watches; one that was just taken is known already."""
        if change is self._newest:
            return
        self._newest = change
        self._number += 1
        entry = self._entries.get(change.entity_id)
        if entry is None:
            entry = self._entries[change.entity_id] = Entry(change.entity_id)
        else:
            self._entries.move_to_end(change.entity_id)
        entry.take(self._number, change)

    def slice_for(self, lag: Lag, wants: Callable[[str], bool]) -> tuple[bytes, bool]:
        """Return the next frames for a socket that `wants` some entities, and whether it has caught up."""

        def shown(entry: Entry, floor: int) -> bytes:
            return entry.frames(self._renderer, floor) if wants(entry.entity_id) else b""

        return self.slice_shown(lag, shown)

    def slice_shown(self, lag: Lag, show: Callable[[Entry, int], bytes]) -> tuple[bytes, bool]:
        """Return the next frames, as `show` makes them of an entry since a floor, and whether it is all."""
        parts: list[bytes] = []
        size = looks = 0
        caught_up = False
        while size < limits.conflated_slice_bytes and looks < limits.conflated_looks_max:
            entry = next(lag.owed, None)
            if entry is not None:
                looks += 1
                frames = show(entry, lag.floor)
                if frames:
                    parts.append(frames)
                    size += len(frames)
            elif not self._begin_round(lag):
                caught_up = True
                break
        told = [framed(message(type="conflated", entities=len(parts)).encode())] if parts else []
        return b"".join(told + parts), caught_up

    def _begin_round(self, lag: Lag) -> bool:
        """Collect what `lag` is owed now; return whether that is anything."""
        lag.floor, lag.round_number = lag.round_number, self._number
        owed = list(takewhile(lambda entry: entry.number > lag.floor, reversed(self._entries.values())))
        lag.owed = reversed(owed)
        self._trim()
        return bool(owed)

    def _trim(self) -> None:
        """Forget the entities that everybody has been told of."""
        lowest = min((lag.floor for lag in self._lags), default=self._number)
        while self._entries and next(iter(self._entries.values())).number <= lowest:
            self._entries.popitem(last=False)
