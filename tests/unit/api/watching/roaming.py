"""Clients that come and go, read slowly, and resume as docs/watching.md tells them to."""

from __future__ import annotations

from typing import Any

from flux_api.watcher import Watcher
from flux_api.watching.options import Options
from tests.unit.api.sockets import FakeLink
from tests.unit.api.standing import Standing
from tests.unit.api.watching.watchers import Fold

PRESSED_BYTES = 150


class SlowLink(FakeLink):
    """A transport that says so when it fills up."""

    def __init__(self, hub: Any) -> None:
        super().__init__()
        self.hub = hub
        self.watcher = Watcher(self)

    def write(self, frames: bytes) -> None:
        super().write(frames)
        if self.waiting_bytes() > PRESSED_BYTES:
            self.hub.press(self.watcher)


class Scribe:
    """A client that stays, and writes down each event; it wants no states."""

    def __init__(self, standing: Standing) -> None:
        self.link = SlowLink(standing.door.hub)
        self.hub = standing.door.hub
        self.events: dict[str, list[Any]] = {}
        self.missed = False
        self.hub.join(self.link.watcher)
        self.hub.subscribe(self.link.watcher, "a/*", Options(delta=True))
        self.hub.subscribe(self.link.watcher, "*", Options(delta=True))
        self.hub.subscribe(self.link.watcher, "b/*", Options(delta=True))

    @property
    def settled(self) -> bool:
        return self.hub.is_settled(self.link.watcher) and not self.link.written

    def read(self) -> None:
        for message in self.link.take():
            kind = message["type"]
            self.missed = self.missed or kind in {"resync", "conflated"}
            if kind in {"delta", "entity_deleted"}:
                self.events.setdefault(message["entity_id"], []).append(message.get("properties"))
        self.hub.relieve(self.link.watcher)


class Roamer:
    """A client that wants to know all of a pattern."""

    def __init__(self, standing: Standing, pattern: str, where: str | None = None) -> None:
        self.hub = standing.door.hub
        self.pattern = pattern
        self.where = where
        self._positions = standing.door.positions
        self.fold = Fold(self._positions)
        self.places: dict[int, int] = {}
        self.complete = False
        self.link: SlowLink | None = None

    def come(self) -> None:
        """Subscribe, and resume if that is possible."""
        if self.link is not None:
            return
        self.link = SlowLink(self.hub)
        places: Any = dict(self.places) if self.complete else None
        if not self.complete:
            self.fold = Fold(self._positions)
            self.places = {p: int(at) for p, at in self._positions(self.hub.place_of(self.pattern)).items()}
        options = Options(initial=True, places=places, where=self.where, delta=True)
        self.hub.join(self.link.watcher)
        self.hub.subscribe(self.link.watcher, self.pattern, options)

    def go(self) -> None:
        """Leave; what was not read is lost."""
        if self.link is not None:
            self.hub.leave(self.link.watcher)
            self.link = None

    def stop_reading(self) -> None:
        if self.link is not None:
            self.link.reads = False

    def read_on(self) -> None:
        if self.link is not None:
            self.link.reads = True
            self.read()
            self.hub.relieve(self.link.watcher)

    def read(self) -> None:
        """Take what has come."""
        if self.link is not None and self.link.reads:
            for message in self.link.take():
                self._hear(message)

    @property
    def settled(self) -> bool:
        return self.link is None or (
            self.hub.is_settled(self.link.watcher) and self.link.watcher.lag is None and not self.link.written
        )

    def _hear(self, message: Any) -> None:
        self.fold.take(message)
        if message["type"] == "resync":
            self.places, self.complete = {}, False
        if "position" in message and not message.get("conflated"):
            for partition, place in self._positions(message["position"]).items():
                self.places[partition] = max(place, self.places.get(partition, -1))
            self.complete = self.complete or message["type"] in {"delta", "entity_deleted"}
