"""How long Flux did not serve: a client that asks all the time, and notes the longest wait for an answer."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

import httpx

_TIMEOUT_S: Final = 1.0  # of a request to a door that may stand still; the next goes to whichever answers
_PAUSE_S: Final = 0.1
_AGAIN_S: Final = 0.02


@dataclass
class Prober:
    """Publishes to one namespace, or lists it, again and again; a thread runs it.

    An outage lasts from the first request that failed until one that did not. A list is asked for because a
    shard must answer it: what a door has at hand it serves without.
    """

    url: str
    space: str
    stop: threading.Event
    writes: bool
    longest_s: float = 0.0
    answered: int = 0

    def run(self) -> None:
        """Ask until `stop`, and not before the last question was answered."""
        with httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, trust_env=False) as client:
            while not self.stop.is_set():
                began = time.monotonic()
                event = self._event()
                while not self._is_answered(client, event):
                    self.longest_s = max(self.longest_s, time.monotonic() - began)
                    if self.stop.is_set():
                        return
                    time.sleep(_AGAIN_S)
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                self.answered += 1
                time.sleep(_PAUSE_S)

    def _is_answered(self, client: httpx.Client, event: dict[str, Any]) -> bool:
        try:
            if self.writes:
                answer = client.post("/api/events", json=event)
            else:
                answer = client.get("/api/state/entities", params={"prefix": f"{self.space}/", "limit": 5})
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    def _event(self) -> dict[str, Any]:
        return {
            "stream": "chaos",
            "source": "prober",
            "eventId": str(uuid.uuid4()),
            "payload": {"entity_id": f"{self.space}/probe", "properties": {"n": self.answered}},
        }
