"""Requests that take the ordinary way, by method, route and status, and how long until each is answered.

A route is told as the app declares it, with the names of its parameters, so there are as many as the code
has, whatever clients ask for; what has no route counts as `none`, methods that nobody offers as `OTHER`.
"""

from __future__ import annotations

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_actors.metering.instruments import Histogram
from flux_actors.metering.table import REQUEST_SECONDS

Answers = dict[tuple[str, str, int], int]  # by method, route and status
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
_OTHER: Final = "OTHER"
NO_ROUTE: Final = "none"
_FAULT: Final = 503  # what the app answers when nobody foresaw what happened


class RequestTally:
    """The counts of one door."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.took_s: dict[str, Histogram] = {}
        self.faults = 0

    def count(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count a request whose answer begins."""
        key = (method if method in _METHODS else _OTHER, route, status)
        self.answers[key] = self.answers.get(key, 0) + 1
        histogram = self.took_s.get(route)
        if histogram is None:
            histogram = self.took_s[route] = Histogram(REQUEST_SECONDS.bounds)
        histogram.observe(took_s)


class CountedRequests:
    """Middleware of the app: counts what it answers, when the answer begins: some have no end."""

    def __init__(self, app: ASGIApp, tally: RequestTally) -> None:
        self._app = app
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and see its status; sockets are counted as watchers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        begun = False

        async def send_and_see(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._count(scope, message["status"], began)
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        except Exception:
            self._tally.faults += 1
            if not begun:
                self._count(scope, _FAULT, began)
            raise

    def _count(self, scope: Scope, status: int, began: float) -> None:
        self._tally.count(scope["method"], route_of(scope), status, time.perf_counter() - began)


def route_of(scope: Scope) -> str:
    """Return the route that the app found for a request, as it is declared."""
    route: str = getattr(scope.get("route"), "path_format", NO_ROUTE)
    return route
