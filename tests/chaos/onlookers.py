"""Watchers that fold what they are told, and publishers that know what must come of it."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from flux_actors.client.following import Wish
from flux_actors.client.watch import Watcher
from flux_actors.errors import FluxError
from tests.server_sent_events import EventSource

RETRY_S = 60.0
State = dict[str, dict[str, Any]]


@dataclass
class Publisher:
    """Publishes events of its own entities one request after the other, each until it is acknowledged."""

    url: str
    prefix: str
    number: int
    seed: int
    stop: threading.Event
    state: State = field(default_factory=dict)
    written: dict[str, list[int]] = field(default_factory=dict)  # the numbers of each entity's events
    events: int = 0
    retries: int = 0
    trouble: list[str] = field(default_factory=list)

    def run(self) -> None:
        chance = random.Random(f"{self.seed}-{self.number}")
        with httpx.Client(base_url=self.url, timeout=5, trust_env=False) as client:
            while not self.stop.is_set() and not self.trouble:
                self._publish(client, [self._event(chance) for _ in range(chance.choice((1, 1, 2, 30)))])

    def _event(self, chance: random.Random) -> dict[str, Any]:
        entity_id = f"{self.prefix}{chance.randrange(4)}/p{self.number}-{chance.randrange(12)}"
        self.events += 1
        if chance.random() < 0.1:
            properties: dict[str, Any] = {"__deleted__": True}
        else:
            properties = {"n": self.events, f"k{chance.randrange(5)}": chance.choice((None, 1.5, "ü\n", [1]))}
        return {
            "stream": "chaos",
            "source": "onlookers",
            "eventId": str(uuid.UUID(int=chance.getrandbits(128))),
            "payload": {"entity_id": entity_id, "properties": properties},
        }

    def _publish(self, client: httpx.Client, events: list[dict[str, Any]]) -> None:
        deadline = time.monotonic() + RETRY_S
        while not self._is_taken(client, events):
            self.retries += 1
            time.sleep(0.05)
            if time.monotonic() > deadline:
                self.trouble.append(f"{events[0]['eventId']} was not acknowledged within {RETRY_S:.0f} s")
                return
        for event in events:
            entity_id, properties = event["payload"]["entity_id"], event["payload"]["properties"]
            if "__deleted__" in properties:
                self.state.pop(entity_id, None)
            else:
                self.state[entity_id] = self.state.get(entity_id, {}) | properties
                self.written.setdefault(entity_id, []).append(properties["n"])

    def _is_taken(self, client: httpx.Client, events: list[dict[str, Any]]) -> bool:
        try:
            if len(events) == 1:
                answer = client.post("/api/events", json=events[0])
            else:
                answer = client.post("/api/events/batch", json=events)
        except httpx.HTTPError:
            return False
        if answer.status_code not in {200, 503}:
            self.trouble.append(f"{answer.status_code} {answer.text[:200]}")
        return answer.status_code == 200 and answer.json().get("failed", 0) == 0


class Onlooker:
    """Folds the messages of one watch, and notes what must not be."""

    def __init__(self, name: str, patterns: tuple[str, ...]) -> None:
        self.name = name
        self.patterns = patterns
        self.state: State = {}
        self.told: dict[str, list[int]] = {}  # the numbers of each entity's events, since it began
        self.trouble: list[str] = []
        self.changes = self.connections = self.anew = self.resyncs = 0
        self.journal: deque[str] = deque(maxlen=4_000)
        self._newest: dict[str, tuple[int, ...]] = {}

    def begin_anew(self) -> None:
        self.anew += 1
        self.journal.append("begins anew")
        self._forget("")

    def take(self, message: dict[str, Any]) -> None:
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
        return [line for line in self.journal if entity_id in line or " None " in line or "anew" in line][
            -12:
        ]


class SocketOnlooker(Onlooker):
    """Watches with the client, which comes back by itself."""

    def run(self, url: str, stop: threading.Event) -> None:
        watcher = Watcher(url, Wish(self.patterns, delta=True))
        while not stop.is_set():
            try:
                for message in watcher:
                    self._hear(message)
                    if stop.is_set():
                        return
            except FluxError as error:  # the first connection was the one to break
                self.journal.append(f"error None {error.message}")
                time.sleep(0.05)

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


class StreamOnlooker(Onlooker):
    """Watches as a page with an EventSource does."""

    def run(self, url: str, stop: threading.Event) -> None:
        source = EventSource()
        while not stop.is_set():
            try:
                for event in self._events(url, source, stop):
                    self.take(event)
            except httpx.HTTPError as error:
                self.journal.append(f"broke off None {error!r}")
            time.sleep(0.05)

    def _events(self, url: str, source: EventSource, stop: threading.Event) -> Iterator[dict[str, Any]]:
        query = [("entity", pattern) for pattern in self.patterns] + [
            ("format", "delta"),
            ("initial", "true"),
        ]
        headers = source.reconnect()
        with httpx.stream(
            "GET", f"{url}/api/stream", params=query, headers=headers, timeout=5, trust_env=False
        ) as answer:
            if answer.status_code == 503:
                return
            answer.raise_for_status()
            self.connections += 1
            if headers:
                self.journal.append(f"resumed None {headers}")
            else:
                self.begin_anew()
            for part in answer.iter_raw():
                yield from (event.message for event in source.feed(part))
                if stop.is_set():
                    return
