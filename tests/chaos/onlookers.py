"""A watcher that is a page with an EventSource, beside those of `flux chaos`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx

from flux_cluster.chaos.onlooker import Onlooker
from tests.server_sent_events import EventSource


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
