"""HTTP that comes back by itself: while parts of a Flux are killed or held up, a client tries again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

RETRY_S: Final = 60.0


@dataclass
class Client:
    """HTTP that comes back by itself."""

    url: str
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=15, trust_env=False))

    def close(self) -> None:
        self._http.close()

    def post(self, path: str, body: Any) -> httpx.Response:
        return self._until_taken(lambda: self._http.post(f"{self.url}{path}", json=body))

    def get(self, path: str) -> httpx.Response:
        return self._until_taken(lambda: self._http.get(f"{self.url}{path}"))

    def publish(self, entity_id: str, properties: dict[str, Any], *, wait: bool = False) -> None:
        """Publish an event; it counts once however often it is sent."""
        event = event_of(entity_id, properties)
        self.post(f"/api/events{'?wait=applied' if wait else ''}", event)

    def properties(self, entity_id: str) -> dict[str, Any]:
        answer = self.get(f"/api/state/entities/{entity_id}")
        return {} if answer.status_code == 404 else answer.json()["properties"]

    def entities(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Return the entities whose ids begin so."""
        return {one["id"]: one for one in self.get(f"/api/state/entities?prefix={prefix}").json()}

    @staticmethod
    def _until_taken(send: Callable[[], httpx.Response]) -> httpx.Response:
        deadline = time.monotonic() + RETRY_S
        while True:
            try:
                answer = send()
            except httpx.HTTPError:
                assert time.monotonic() < deadline
            else:
                if answer.status_code in {200, 404}:
                    return answer
                assert answer.status_code == 503, answer.text
                assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)


def event_of(entity_id: str, properties: dict[str, Any], event_id: str = "") -> dict[str, Any]:
    return {
        "stream": "tests",
        "source": "tests",
        "eventId": str(uuid.uuid5(uuid.NAMESPACE_OID, event_id)) if event_id else str(uuid.uuid4()),
        "payload": {"entity_id": entity_id, "properties": properties},
    }
