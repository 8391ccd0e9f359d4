"""Writers that count their own acknowledgements, and the comparison with what Flux kept."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

RETRY_S = 60.0


@dataclass
class Writer:
    """One thread that writes one entity in order; every event is sent again until it is acknowledged."""

    url: str
    entity_id: str
    stop: threading.Event
    acked: list[str] = field(default_factory=list)
    position: str = ""  # of the last acknowledged event
    state: dict[str, Any] = field(default_factory=dict)
    retries: int = 0
    refusals: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    pace_s: float = 0.0  # between two of its events
    headers: dict[str, str] = field(default_factory=dict)  # its token, where one is asked for

    def run(self) -> None:
        number = 0
        while not self.stop.is_set() and number < 450:  # history holds 500
            number += 1
            properties = {"n": number, f"k{number % 7}": number}
            if self.publish(str(uuid.uuid4()), properties):
                self.state |= properties
            self.stop.wait(self.pace_s)

    def publish(self, event_id: str, properties: dict[str, Any]) -> bool:
        body = {
            "stream": "chaos",
            "source": self.entity_id[:200],
            "eventId": event_id,
            "payload": {"entity_id": self.entity_id, "properties": properties},
        }
        began = time.monotonic()
        while time.monotonic() < began + RETRY_S:
            try:
                answer = httpx.post(f"{self.url}/api/events", json=body, headers=self.headers, timeout=15)
            except httpx.HTTPError:
                self.retries += 1
                time.sleep(0.05)
                continue
            if answer.status_code == 200:
                self.acked.append(event_id)
                self.position = answer.headers["Flux-Position"]
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                return True
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                self.refusals.append(f"{answer.status_code} {answer.text}")
                return False
            self.retries += 1
            time.sleep(0.05)
        self.refusals.append(f"{event_id} was not acknowledged within {RETRY_S} s")
        return False


@dataclass
class Load:
    """Several writers at once, on namespaces of several partitions."""

    url: str
    prefix: str = field(default_factory=lambda: f"c{uuid.uuid4().hex[:8]}")
    writers: list[Writer] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self, count: int = 6, pace_s: float = 0.0) -> None:
        self.writers = [
            Writer(self.url, f"{self.prefix}{n}/entity", self.stop, pace_s=pace_s) for n in range(count)
        ]
        self.threads = [threading.Thread(target=writer.run, daemon=True) for writer in self.writers]
        for thread in self.threads:
            thread.start()

    def acked(self) -> int:
        return sum(len(writer.acked) for writer in self.writers)

    def finish(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(RETRY_S + 20)
            assert not thread.is_alive()

    def check(self) -> None:
        """Every acked event is there once and in order; the state is the fold of what was acked."""
        for writer in self.writers:
            assert writer.refusals == []
            entity = self.entity(writer)
            assert entity["properties"] == writer.state
            assert self.history(writer) == writer.acked

    def entity(self, writer: Writer) -> Any:
        answer = self._get(f"/api/state/entities/{writer.entity_id}?at_least={writer.position}")
        return {"etag": answer.headers["etag"], **answer.json()}

    def history(self, writer: Writer) -> list[str]:
        query = f"entity={writer.entity_id}&limit=500&at_least={writer.position}"
        events = self._get(f"/api/events?{query}").json()
        return [event["eventId"] for event in reversed(events)]

    def _get(self, path: str) -> httpx.Response:
        """Read as a client does: 503 and a broken connection are tried again."""
        deadline = time.monotonic() + RETRY_S
        while True:
            try:
                answer = httpx.get(f"{self.url}{path}", timeout=10)
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                continue
            if answer.status_code != 503:
                assert answer.status_code == 200, answer.text
                return answer
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)


@pytest.fixture
def load(restartable_flux: Any) -> Any:
    """A load on the Flux that may be killed."""
    load = Load(restartable_flux.url)
    yield load
    load.stop.set()
