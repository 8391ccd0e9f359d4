"""A watcher that folds what it is told, and notes what must not be."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Final

from flux_actors.client.following import Wish
from flux_actors.client.watch import Watcher
from flux_actors.errors import FluxError
from flux_cluster.chaos.publisher import State

_JOURNAL: Final = 4_000
_LINES: Final = 12
_AGAIN_S: Final = 0.05


class Onlooker:
    """Folds the messages of one watch, and notes what must not be."""

    def __init__(self, name: str, patterns: tuple[str, ...]) -> None:
        self.name = name
        self.patterns = patterns
        self.state: State = {}
        self.told: dict[str, list[int]] = {}  # the numbers of each entity's events, since it began
        self.trouble: list[str] = []
        self.changes = self.connections = self.anew = self.resyncs = 0
        self.journal: deque[str] = deque(maxlen=_JOURNAL)
        self._newest: dict[str, tuple[int, ...]] = {}

    def begin_anew(self) -> None:
        """Forget all: states follow."""
        self.anew += 1
        self.journal.append("begins anew")
        self._forget("")

    def take(self, message: dict[str, Any]) -> None:
        """Fold a message."""
        entity_id = message.get("entity_id") or message.get("entity", {}).get("id")
        self.journal.append(
            f"{message['type']} {entity_id} {message.get('position')} {message.get('properties')}"
        )
        match message:
            case {"type": "state", "entity": {"id": entity_id, "properties": properties}}:
                self._move(entity_id, message)
                self.state[entity_id] = dict(properties)
            case {"type": "delta", "entity_id": entity_id, "properties": properties}:
                self._move(entity_id, message)
                self.state[entity_id] = self.state.get(entity_id, {}) | properties
                if not entity_id.startswith("flux-core/"):
                    self.told.setdefault(entity_id, []).append(properties["n"])
            case {"type": "entity_deleted", "entity_id": entity_id}:
                self._move(entity_id, message)
                self.state.pop(entity_id, None)
            case {"type": "resync", "entity_id": pattern}:
                self.resyncs += 1
                self._forget(pattern.removesuffix("*"))
            case {"type": "metrics_update"}:
                pass
            case _:
                self.trouble.append(f"was told {message}")

    def _move(self, entity_id: str, message: dict[str, Any]) -> None:
        position = tuple(map(int, message["position"].split(".")))
        if position <= self._newest.get(entity_id, ()):
            self.trouble.append(f"{message} came after {self._newest[entity_id]}")
        self._newest[entity_id] = position
        self.changes += 1

    def _forget(self, prefix: str) -> None:
        for entity_id in [one for one in self.state if one.startswith(prefix)]:
            del self.state[entity_id]
        self.told = {one: numbers for one, numbers in self.told.items() if not one.startswith(prefix)}
        self._newest = {one: position for one, position in self._newest.items() if not one.startswith(prefix)}

    def lines_about(self, entity_id: str) -> list[str]:
        """Return what was last told of an entity, and of the watch itself."""
        lines = [line for line in self.journal if entity_id in line or " None " in line or "anew" in line]
        return lines[-_LINES:]


class SocketOnlooker(Onlooker):
    """Watches with the client, which comes back by itself; a thread runs it."""

    def run(self, url: str, stop: threading.Event) -> None:
        """Watch until something is told after `stop`."""
        watcher = Watcher(url, Wish(self.patterns, delta=True))
        while not stop.is_set():
            try:
                for message in watcher:
                    self._hear(message)
                    if stop.is_set():
                        return
            except FluxError as error:  # the first connection was the one to break
                self.journal.append(f"error None {error.message}")
                time.sleep(_AGAIN_S)

    def _hear(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "connected":
                self.connections += 1
                self.begin_anew()
            case "resumed":
                self.connections += 1
                self.journal.append("resumed None ")
            case "disconnected":
                self.journal.append(f"disconnected None {message['error']}")
            case _:
                self.take(message)
