"""One socket that watches: what it asked for, and the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from flux_actors.domain.pattern import EVERYTHING
from flux_actors.tenancy.principal import ANYONE, Principal
from flux_api.conflation import Lag

if TYPE_CHECKING:
    from flux_api.watching.outlet import Outlet

__all__ = ["EVERYTHING", "Link", "Watcher", "prefixes"]


class Link(Protocol):
    """The way to one socket."""

    def write(self, frames: bytes) -> None:
        """Send whole frames, in the order of the calls; never waits."""
        ...

    def waiting_bytes(self) -> int:
        """Return how much was written that the network has not taken yet."""
        ...


@dataclass(slots=True, eq=False)
class Watcher:
    """A socket: what it asked for and how far it is."""

    link: Link
    patterns: set[str] = field(default_factory=set)
    principal: Principal = ANYONE
    chose: bool = False  # until its first subscribe it gets everything
    lag: Lag | None = None  # its place while it is too slow
    outlet: Outlet | None = None  # takes what its subscriptions with options bring, instead of the link

    @property
    def interest(self) -> set[str]:
        """The patterns that count."""
        return self.patterns if self.chose else {EVERYTHING}

    def wants(self, entity_id: str) -> bool:
        """Whether an entity concerns this socket."""
        interest = self.interest
        if EVERYTHING in interest or entity_id in interest:
            return True
        return any(f"{prefix}*" in interest for prefix in prefixes(entity_id))


def prefixes(entity_id: str) -> Iterator[str]:
    """Return the beginnings of an id that end in `/`, shortest first."""
    end = entity_id.find("/")
    while end >= 0:
        yield entity_id[: end + 1]
        end = entity_id.find("/", end + 1)
