"""Watchers with options at a door on twins, and the fold that a client makes of what it is told."""

from __future__ import annotations

from typing import Any

from flux_api.watcher import Watcher
from flux_api.watching.options import Options
from tests.unit.api.sockets import FakeLink
from tests.unit.api.standing import Standing, change, until
from tests.unit.api.test_slow_sockets import PressedLink


class Client:
    """One socket: what it was told, and what it makes of it."""

    def __init__(self, standing: Standing) -> None:
        self.hub = standing.door.hub
        self.link = FakeLink()
        self.watcher = Watcher(self.link)
        self.told: list[Any] = []

    def subscribe(self, pattern: str, **options: Any) -> Client:
        if self.watcher not in self.hub.watchers:
            self.hub.join(self.watcher)
        self.hub.subscribe(self.watcher, pattern, Options(**options), request_id="mine")
        return self

    def unsubscribe(self, pattern: str) -> None:
        self.hub.unsubscribe(self.watcher, pattern)

    @property
    def settled(self) -> bool:
        return self.hub.is_settled(self.watcher)

    def take(self) -> list[Any]:
        """Return what it was told since."""
        messages = self.link.take()
        self.told += messages
        return messages

    def leave(self) -> None:
        self.hub.leave(self.watcher)


def brief(messages: list[Any]) -> list[Any]:
    """Return messages without what they have in common: kind, whom they are about, and what of it."""
    return [_brief(message) for message in messages]


def _brief(message: Any) -> Any:
    match message["type"]:
        case "state":
            return ("state", message["entity"]["id"], message["entity"]["properties"])
        case "delta":
            return ("delta", message["entity_id"], message["properties"])
        case "state_update":
            return ("update", message["entity_id"], {message["property"]: message["value"]})
        case "conflated":
            return ("conflated", message["entities"])
        case kind:
            return (kind, message["entity_id"])


class Fold:
    """What a client makes of deltas: the entities, and a complaint when it is told something twice."""

    def __init__(self, positions: Any) -> None:
        self._positions = positions  # reads the text of a position
        self.entities: dict[str, dict[str, Any]] = {}
        self.places: dict[str, int] = {}
        self.resyncs = 0

    def take(self, message: Any) -> None:
        match message["type"]:
            case "state":
                entity = message["entity"]
                self._move(entity["id"], message)
                self.entities[entity["id"]] = entity["properties"]
            case "delta":
                self._move(message["entity_id"], message)
                self.entities.setdefault(message["entity_id"], {}).update(message["properties"])
            case "entity_deleted":
                self._move(message["entity_id"], message)
                self.entities.pop(message["entity_id"], None)
            case "left":
                self.entities.pop(message["entity_id"], None)
            case "resync":
                self.entities, self.places = {}, {}
                self.resyncs += 1

    def _move(self, entity_id: str, message: Any) -> None:
        ((_, place),) = self._positions(message["position"]).items()
        known = self.places.get(entity_id, -1)
        assert place > known or message["type"] == "state", f"{message} came behind {known}"
        if not message.get("conflated"):
            self.places[entity_id] = place


def told(watcher):
    return brief(watcher.link.take())


async def settled(hub, watcher):
    await until(lambda: hub.is_settled(watcher))
    return told(watcher)


def dispatch(hub, *changes):
    hub.dispatch([change(*one) for one in changes])


DELTA = Options(delta=True)


def slow(hub, pattern, options):
    link = PressedLink(hub)
    link.watcher = Watcher(link)
    hub.join(link.watcher)
    hub.subscribe(link.watcher, pattern, options)
    link.reads = False
    return link
