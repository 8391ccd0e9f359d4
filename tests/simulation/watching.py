"""A client that watches: what it was told, folded by itself, through doors that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from flux_actors.domain.position import Packed, parse
from flux_api.frames import texts_of
from flux_api.watcher import Watcher
from flux_api.watching.options import PLAIN, Options
from tests.simulation.chance import Chance
from tests.simulation.door import Door

_PARTITIONS_MAX: Final = 1_024


class Watching:
    """One watcher of one pattern; it is the link that its door writes to."""

    def __init__(self, name: str, pattern: str, *, plain: bool, seed: int) -> None:
        self.name = name
        self.pattern = pattern
        self.plain = plain
        self.door: Door | None = None
        self.told: list[list[dict[str, Any]]] = []  # per connection, what it was told
        self.resumed: list[bool] = []  # per connection, whether it went on behind a place
        self._frames: list[bytes] = []
        self._chance = Chance(seed, name)
        self._watcher: Watcher | None = None

    def join(self, door: Door) -> None:
        """Begin, or go on, at a door."""
        self.door = door
        self._watcher = Watcher(self)
        door.hub.join(self._watcher)
        options = PLAIN if self.plain else self._options()
        self.resumed.append(options.places is not None)
        door.hub.subscribe(self._watcher, self.pattern, options, self.name)

    def part(self) -> None:
        """Hear that the door is gone: the last that it has sent did not arrive."""
        self._take()
        if self.told and self.told[-1] and self._chance.happens(0.5):
            last = self.told[-1]
            del last[len(last) - self._chance.randint(1, len(last)) :]
        self.door = None

    def finish(self) -> None:
        """Take what came last."""
        self._take()

    @property
    def is_settled(self) -> bool:
        """Whether it is at a door, and was told all that it begins with."""
        return self.door is not None and self._watcher is not None and self.door.hub.is_settled(self._watcher)

    def write(self, frames: bytes) -> None:
        """Get frames."""
        self._frames.append(frames)

    def waiting_bytes(self) -> int:
        """Return that nothing waits: this client reads at once."""
        return 0

    def places(self) -> dict[int, Packed]:
        """Return up to where all was told, by partition; behind a resync nowhere until it is live."""
        found: dict[int, Packed] = {}
        live = False
        for message in self._all():
            live = message["type"] == "live" or (live and message["type"] != "resync")
            if not live:
                found.clear()
            elif message["type"] in {"delta", "entity_deleted", "live"} and message["position"]:
                for partition, position in parse(message["position"], _PARTITIONS_MAX).items():
                    found[partition] = max(position, found.get(partition, Packed(-1)))
        return found

    def _options(self) -> Options:
        places: Mapping[int, Packed] | None = self.places() or None
        return Options(initial=True, places=places, delta=True, live=True)

    def _all(self) -> list[dict[str, Any]]:
        return [message for told in self.told for message in told]

    def _take(self) -> None:
        texts = [text for frames in self._frames for text in texts_of(frames)]
        self._frames.clear()
        self.told.append([msgspec.json.decode(text) for text in texts])
