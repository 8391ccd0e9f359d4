"""A client of `/api/stream` over the app, as a browser's EventSource is one."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlencode

from flux_api.app import build_app
from tests.server_sent_events import Dispatched, EventSource
from tests.unit.api.standing import DEADLINE_S, Standing


class StreamClient:
    """A client's end of one stream."""

    def __init__(
        self,
        standing: Standing,
        query: Any = (),
        headers: dict[str, str] | None = None,
        source: EventSource | None = None,
        scope: dict[str, Any] | None = None,
    ) -> None:
        self.source = source or EventSource()
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.events: list[Dispatched] = []
        self.body = b""
        self.parts = 0
        self._reads = asyncio.Event()
        self._reads.set()
        self._gone = asyncio.Event()
        self._asked = False
        sent = self.source.reconnect() | (headers or {})
        app = build_app(standing.door.settings, standing.door)
        self._task = asyncio.create_task(
            app(self._scope(query, sent) | (scope or {}), self._receive, self._send)
        )

    async def begun(self) -> Self:
        """Return once it is known whether there is a stream."""
        async with asyncio.timeout(DEADLINE_S):
            while self.status is None or (self.status == 200 and not self.parts):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        return self

    def messages(self, kind: str | None = None) -> list[Any]:
        """Return what was told, or what of one kind was."""
        return [event.message for event in self.events if kind in {None, event.kind}]

    def stop_reading(self) -> None:
        self._reads.clear()

    def read_again(self) -> None:
        self._reads.set()

    async def close(self) -> None:
        """Go."""
        self._gone.set()
        self._reads.set()
        await self.ended()

    async def ended(self) -> None:
        """Return when the answer has ended."""
        async with asyncio.timeout(DEADLINE_S):
            await self._task

    def json(self) -> Any:
        return json.loads(self.body)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self._reads.wait()
        if message["type"] == "http.response.start":
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self.status = message["status"]
            return
        body = message.get("body", b"")
        self.body += body
        if self.status == 200:
            self.parts += 1
            self.events += self.source.feed(body)

    @staticmethod
    def _scope(query: Any, headers: dict[str, str]) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/stream",
            "raw_path": b"/api/stream",
            "root_path": "",
            "query_string": urlencode(query).encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("flux", 80),
        }
