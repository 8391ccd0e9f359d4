"""How long Flux did not serve: a client that asks all the time, and notes the longest wait for an answer."""

from __future__ import annotations

import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from flux_cluster.chaos.publisher import RETRY_S, State

_TIMEOUT_S: Final = 1.0  # of a request to a door that may stand still; the next goes to whichever answers
_PAUSE_S: Final = 0.1
_AGAIN_S: Final = 0.02


@dataclass
class Prober:
    """Publishes to one namespace, or lists it, again and again; a thread runs it.

    An outage lasts from the first request that failed until one that did not. A list is asked for because a
    shard must answer it: what a door has at hand it serves without. The events that it publishes count, too:
    the last number that was acknowledged is the one that its entity must have.
    """

    url: str
    space: str
    stop: threading.Event
    writes: bool
    seed: int = 0
    give_up: threading.Event = field(default_factory=threading.Event)  # ends it in the middle of an event
    longest_s: float = 0.0
    answered: int = 0
    trouble: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called where something is said of it."""
        return f"prober that {'publishes to' if self.writes else 'lists'} {self.space}"

    @property
    def done(self) -> int:
        """How many of its questions were answered by now."""
        return self.answered

    @property
    def state(self) -> State:
        """What its entity must be, when it has ended."""
        return {f"{self.space}/probe": {"n": self.answered - 1}} if self.writes and self.answered else {}

    def run(self) -> None:
        """Ask until `stop`; an event that was sent is sent again until it is acknowledged."""
        chance = random.Random(f"{self.seed}-prober-{self.space}")
        with httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, trust_env=False) as client:
            while not self.stop.is_set():
                began = time.monotonic()
                event = self._event(chance)
                while not self._is_answered(client, event):
                    self.longest_s = max(self.longest_s, time.monotonic() - began)
                    if self._may_leave(time.monotonic() - began):
                        return
                    time.sleep(_AGAIN_S)
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                self.answered += 1
                time.sleep(_PAUSE_S)

    def _may_leave(self, asked_s: float) -> bool:
        """Whether it ends without the answer that it has asked for so long."""
        if self.writes and self.stop.is_set() and asked_s > RETRY_S:
            self.trouble.append(f"event {self.answered} was not acknowledged within {RETRY_S:.0f} s")
        return self.give_up.is_set() or bool(self.trouble) or (self.stop.is_set() and not self.writes)

    def _is_answered(self, client: httpx.Client, event: dict[str, Any]) -> bool:
        try:
            if self.writes:
                answer = client.post("/api/events", json=event)
            else:
                answer = client.get("/api/state/entities", params={"prefix": f"{self.space}/", "limit": 5})
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    def _event(self, chance: random.Random) -> dict[str, Any]:
        return {
            "stream": "chaos",
            "source": "prober",
            "eventId": str(uuid.UUID(int=chance.getrandbits(128))),
            "payload": {"entity_id": f"{self.space}/probe", "properties": {"n": self.answered}},
        }
