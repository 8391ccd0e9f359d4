"""A client that counts up entities that others count up as well, each time on what it has read."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from flux_cluster.chaos.publisher import RETRY_S

_TIMEOUT_S: Final = 5.0
_AGAIN_S: Final = 0.05
_PAUSE_S: Final = 0.05
_RETRIED: Final = frozenset({httpx.codes.SERVICE_UNAVAILABLE})


@dataclass
class Counter:
    """Publishes the next number of a shared entity on the condition that it is still as it was read.

    A thread runs it. Every number that was acknowledged must have been so to one counter alone.
    """

    url: str
    spaces: Sequence[str]
    number: int
    seed: int
    stop: threading.Event
    give_up: threading.Event  # ends it in the middle of an event
    counted: dict[str, list[int]] = field(default_factory=dict)  # the numbers that it made, by entity
    refused: int = 0
    retries: int = 0
    trouble: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called where something is said of it."""
        return f"counter {self.number}"

    @property
    def done(self) -> int:
        """How many numbers were acknowledged to it by now."""
        return sum(len(numbers) for numbers in list(self.counted.values()))

    def run(self) -> None:
        """Count until `stop`."""
        chance = random.Random(f"{self.seed}-counter-{self.number}")
        with httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, trust_env=False) as client:
            while not self.stop.is_set() and not self.trouble:
                self._count(client, f"{chance.choice(self.spaces)}/count", chance)
                time.sleep(_PAUSE_S)

    def _count(self, client: httpx.Client, entity_id: str, chance: random.Random) -> None:
        read = self._until_answered(lambda: client.get(f"/api/state/entities/{entity_id}"), {200, 404})
        if read is None:
            return
        known = read.status_code == httpx.codes.OK
        number = 1 + (read.json()["properties"]["n"] if known else 0)
        condition = {"etag": read.headers["etag"].strip('"')} if known else {"absent": True}
        event = {
            "stream": "chaos",
            "source": f"counter-{self.number}",
            "eventId": str(uuid.UUID(int=chance.getrandbits(128))),
            "payload": {"entity_id": entity_id, "properties": {"n": number}},
            "condition": condition,
        }
        answer = self._until_answered(lambda: client.post("/api/events", json=event), {200, 412})
        if answer is not None and answer.status_code == httpx.codes.OK:
            self.counted.setdefault(entity_id, []).append(number)
        elif answer is not None:
            self.refused += 1

    def _until_answered(self, ask: Any, expected: set[int]) -> httpx.Response | None:
        """Return the answer; `None` when there was none in time, or one that must not be."""
        deadline = time.monotonic() + RETRY_S
        while time.monotonic() < deadline and not self.give_up.is_set():
            try:
                answer: httpx.Response = ask()
            except httpx.HTTPError:
                self.retries += 1
            else:
                if answer.status_code in expected:
                    return answer
                if answer.status_code not in _RETRIED:
                    self.trouble.append(f"{answer.status_code} {answer.text[:200]}")
                    return None
                self.retries += 1
            time.sleep(_AGAIN_S)
        self.trouble.append(f"no answer within {RETRY_S:.0f} s")
        return None
