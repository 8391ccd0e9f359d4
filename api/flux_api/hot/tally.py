"""What the hot way has answered: an integer for each route, in the place of the one that uvicorn keeps.

So it costs nothing: a GET adds to one attribute as before, a publish to one entry of a table.
"""

from __future__ import annotations

from typing import Final

from flux_actors.errors import FluxError, Refused
from flux_api.hot.heads import Route
from flux_api.request_tally import Answers

_OK: Final = 200
_AWAY: Final = 503
HOT_ROUTES: Final = {
    Route.ENTITY: ("GET", "/api/state/entities/{entity_id}"),
    Route.EVENT: ("POST", "/api/events"),
    Route.BATCH: ("POST", "/api/events/batch"),
    Route.MANY: ("POST", "/api/state/entities/get"),
}


class HotTally:
    """The counts of one door's hot way."""

    __slots__ = ("_refused", "entities", "posts")

    def __init__(self) -> None:
        self.entities = 0  # GETs of one, each found in the view
        self.posts = dict.fromkeys(Route, 0)
        self._refused: Answers = {}

    def refused(self, route: Route, error: FluxError) -> None:
        """Count a request that failed."""
        key = (*HOT_ROUTES[route], error.status if isinstance(error, Refused) else _AWAY)
        self._refused[key] = self._refused.get(key, 0) + 1

    def answers(self) -> Answers:
        """Return the requests by method, route and status."""
        counts = {route: count for route, count in self.posts.items() if count}
        if self.entities:
            counts[Route.ENTITY] = self.entities
        return self._refused | {(*HOT_ROUTES[route], _OK): count for route, count in counts.items()}
