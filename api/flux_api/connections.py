"""Who is connected to a door, and whether one more may be.

All connections count, and the sockets and event streams among them; each address for itself as well, so that
no client keeps all others out. Those who find no place are told so and sent away, a bounded number of them at
a time: beyond it a connection is cut off, for telling takes a place too. Whoever has a place keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.settings import Settings


class Guest(Protocol):
    """A connection, as the listener sees it."""

    def look(self, now_s: float) -> None:
        """Judge what it does, at a time of the loop."""

    @property
    def coming_bytes(self) -> int:
        """How much it holds of what comes in and is not whole."""

    def give_up(self) -> None:
        """Let go of that, and tell the client."""


def make_room(guests: Sequence[Guest], bytes_max: int) -> None:
    """Have those who hold most give it up until all together hold no more than `bytes_max`."""
    held = sum(guest.coming_bytes for guest in guests)
    if held <= bytes_max:
        return
    for guest in sorted(guests, key=lambda guest: guest.coming_bytes, reverse=True):
        if held <= bytes_max:
            break
        held -= guest.coming_bytes
        guest.give_up()


class Bounds(NamedTuple):
    """How many a door takes."""

    connections: int = limits.connections_max
    sockets: int = limits.sockets_max
    of_address: int = limits.address_connections_max


class Connections:
    """The connections of one door by address."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._of_address: dict[str, int] = {}
        self.total = 0
        self.sockets = 0
        self.turned_away = 0  # who are being told so at this moment
        self.refused_total = 0  # who found no place
        self.refusals: dict[
            int, int
        ] = {}  # requests that a connection refused before they had a route, by status

    @classmethod
    def of(cls, settings: Settings) -> Connections:
        """Return those of a door with these settings."""
        bounds = Bounds(settings.connections_max, settings.sockets_max, settings.address_connections_max)
        return cls(bounds)

    def fit(self, files_max: int) -> None:
        """Take no more than the process may have open files; the rest of these is needed elsewhere."""
        most = max(1, files_max - limits.files_spare)
        self._bounds = self._bounds._replace(connections=min(self._bounds.connections, most))

    def enter(self, address: str) -> Unavailable | None:
        """Give a connection a place, or return why there is none."""
        here = self._of_address.get(address, 0)
        if self.total >= self._bounds.connections:
            return self._full("this door has all the connections it can take")
        if here >= self._bounds.of_address:
            return self._full(f"your address has {here} connections, which is all that one may have")
        self.total += 1
        self._of_address[address] = here + 1
        return None

    def leave(self, address: str) -> None:
        """Take back the place of a connection."""
        here = self._of_address[address] - 1
        self.total -= 1
        if here:
            self._of_address[address] = here
        else:
            del self._of_address[address]

    def open_socket(self) -> Unavailable | None:
        """Let a connection become a socket or an event stream, or return why it may not."""
        if self.sockets >= self._bounds.sockets:
            return self._full("this door has all the WebSockets and event streams it can take")
        self.sockets += 1
        return None

    def close_socket(self) -> None:
        """Hear that a socket is gone."""
        self.sockets -= 1

    def count_refusal(self, status: int) -> None:
        """Count a request that was refused before anybody looked for its route."""
        self.refusals[status] = self.refusals.get(status, 0) + 1

    def _full(self, text: str) -> Unavailable:
        self.refused_total += 1
        return Unavailable(f"{text}; try again, or close some", limits.turned_away_retry_s)
