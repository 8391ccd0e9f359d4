"""A client that publishes, each event until it is acknowledged, and knows exactly what must come of it."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

RETRY_S: Final = 60.0
_ENTITIES: Final = 12
_GENERATION: Final = 4_000  # events, then it goes on with other entities: a history holds 500
_TIMEOUT_S: Final = 5.0
_AGAIN_S: Final = 0.05
State = dict[str, dict[str, Any]]


@dataclass
class Publisher:
    """Publishes events of its own entities, one request after the other; a thread runs it.

    What it chooses follows from `seed` and `number`; its entities are in the namespaces `spaces`. A request
    without an answer, or with 503, goes again as it was, under the same eventIds, to whatever door takes the
    connection.
    """

    url: str
    spaces: Sequence[str]
    number: int
    seed: int
    stop: threading.Event
    pause_s: float = 0.0
    give_up: threading.Event = field(default_factory=threading.Event)  # ends it in the middle of an event
    state: State = field(default_factory=dict)
    written: dict[str, list[int]] = field(default_factory=dict)  # the numbers of each entity's events
    acked: dict[str, list[str]] = field(default_factory=dict)  # the ids of each entity's events, in order
    events: int = 0
    retries: int = 0
    trouble: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called where something is said of it."""
        return f"publisher {self.number}"

    @property
    def done(self) -> int:
        """How many of its events were acknowledged by now."""
        return sum(len(ids) for ids in list(self.acked.values()))

    def run(self) -> None:
        """Publish until `stop`."""
        chance = random.Random(f"{self.seed}-{self.number}")
        with httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, trust_env=False) as client:
            while not self.stop.is_set() and not self.trouble:
                self._publish(client, *self._request(chance))
                time.sleep(self.pause_s)

    def _request(self, chance: random.Random) -> tuple[str, list[dict[str, Any]]]:
        """Return where to post, and what: an event, some, or some that apply together."""
        kind = chance.choice(("one", "one", "some", "many", "atomic"))
        if kind == "one":
            return "/api/events", [self._event(chance, chance.choice(self.spaces))]
        if kind == "atomic":
            space = chance.choice(self.spaces)
            return "/api/events/batch?atomic=true", [self._event(chance, space) for _ in range(3)]
        count = 2 if kind == "some" else 30
        return "/api/events/batch", [self._event(chance, chance.choice(self.spaces)) for _ in range(count)]

    def _event(self, chance: random.Random, space: str) -> dict[str, Any]:
        generation = self.events // _GENERATION
        name = f"p{self.number}-{chance.randrange(_ENTITIES)}" + (f".{generation}" if generation else "")
        entity_id = f"{space}/{name}"
        self.events += 1
        if chance.random() < 0.1:
            properties: dict[str, Any] = {"__deleted__": True}
        else:
            properties = {"n": self.events, f"k{chance.randrange(5)}": chance.choice((None, 1.5, "ü\n", [1]))}
        return {
            "stream": "chaos",
            "source": f"publisher-{self.number}",
            "eventId": str(uuid.UUID(int=chance.getrandbits(128))),
            "payload": {"entity_id": entity_id, "properties": properties},
        }

    def _publish(self, client: httpx.Client, path: str, events: Sequence[dict[str, Any]]) -> None:
        deadline = time.monotonic() + RETRY_S
        while not self._is_taken(client, path, events):
            if self.trouble:
                return
            self.retries += 1
            time.sleep(_AGAIN_S)
            if time.monotonic() > deadline or self.give_up.is_set():
                self.trouble.append(f"{events[0]['eventId']} was not acknowledged within {RETRY_S:.0f} s")
                return
        for event in events:
            self._note(event["eventId"], **event["payload"])

    def _note(self, event_id: str, entity_id: str, properties: dict[str, Any]) -> None:
        self.acked.setdefault(entity_id, []).append(event_id)
        if "__deleted__" in properties:
            self.state.pop(entity_id, None)
        else:
            self.state[entity_id] = self.state.get(entity_id, {}) | properties
            self.written.setdefault(entity_id, []).append(properties["n"])

    def _is_taken(self, client: httpx.Client, path: str, events: Sequence[dict[str, Any]]) -> bool:
        try:
            answer = client.post(path, json=events[0] if path == "/api/events" else events)
        except httpx.HTTPError:
            return False
        if answer.status_code not in {httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE}:
            self.trouble.append(f"{answer.status_code} {answer.text[:200]}")
        return answer.status_code == httpx.codes.OK and answer.json().get("failed", 0) == 0
