"""Clients of the shared Flux that read their own writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.integration.api.support import RawConnection, Watcher, event

POSITION = "Flux-Position"
SLOW_READ_S = 1.0


class ReadingItsWrites(httpx.Client):
    """A client that sends back the newest `Flux-Position` it was given, so that reads include its writes."""

    def __init__(self, url: str) -> None:
        self.reads = self.slow_reads = 0  # that include a write; those that took longer than that should take
        super().__init__(
            base_url=url, timeout=60, trust_env=False, event_hooks={"response": [self._remember]}
        )

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        began = time.monotonic()
        answer = super().send(request, **options)
        if request.method == "GET" and POSITION in request.headers and "at" not in request.url.params:
            self.reads += 1
            self.slow_reads += time.monotonic() - began > SLOW_READ_S
        return answer

    def _remember(self, answer: httpx.Response) -> None:
        if POSITION in answer.headers:
            self.headers[POSITION] = answer.headers[POSITION]

    def forget(self) -> None:
        self.headers.pop(POSITION, None)


@pytest.fixture(scope="session")
def _own_client(flux: Any) -> Iterator[ReadingItsWrites]:
    with ReadingItsWrites(flux.url) as client:
        yield client
        assert client.slow_reads <= 3 + client.reads // 50  # the machine may have been busy, but not always


@pytest.fixture(scope="session")
def _proxy_client(flux: Any) -> Iterator[ReadingItsWrites]:
    with ReadingItsWrites(f"http://127.0.0.1:{flux.serve_port}") as client:
        yield client


@pytest.fixture
def api(_own_client: ReadingItsWrites) -> ReadingItsWrites:
    """A client at the Flux port."""
    _own_client.forget()
    return _own_client


@pytest.fixture
def proxy(_proxy_client: ReadingItsWrites) -> ReadingItsWrites:
    """A client at the second entrance, Serve's own proxy."""
    _proxy_client.forget()
    return _proxy_client


@pytest.fixture
def publish(api: ReadingItsWrites) -> Callable[..., httpx.Response]:
    """Publish one event and return the answer, given once the event is visible."""

    def send(entity_id: str | None, properties: Any = None, **envelope: Any) -> httpx.Response:
        answer = api.post("/api/events?wait=applied", json=event(entity_id, properties, **envelope))
        assert answer.status_code == 200, answer.text
        return answer

    return send


@pytest.fixture
def read(api: ReadingItsWrites) -> Callable[[str], Any]:
    """Return the properties of an entity, `None` when there is none."""

    def properties_of(entity_id: str) -> Any:
        answer = api.post("/api/state/entities/get", json={"ids": [entity_id]}).json()
        return answer["entities"][0]["properties"] if answer["entities"] else None

    return properties_of


@pytest.fixture
def raw(flux: Any) -> Iterator[Callable[[], RawConnection]]:
    """Open raw connections to the Flux port."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(RawConnection(flux.port))


@pytest.fixture
def watch(flux: Any) -> Iterator[Callable[..., Watcher]]:
    """Open sockets; one that names patterns is subscribed to them on return."""
    with ExitStack() as stack:

        def open_socket(*patterns: str) -> Watcher:
            connection = stack.enter_context(connect(flux.ws_url, max_size=None, max_queue=None, proxy=None))
            watcher = Watcher(connection)
            watcher.subscribe(*patterns)
            return watcher

        yield open_socket
