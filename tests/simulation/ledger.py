"""What clients did and were told: the other side of what the log says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.simulation.door import Place, Seen

ACKED: Final = "acked"
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"


@dataclass(slots=True, eq=False)
class Deed:
    """One event that a client wanted published, with all its tries."""

    client: str
    entity_id: str
    event_id: str | None
    properties: dict[str, Any]
    began_s: float
    outcome: str = UNKNOWN
    place: Place | None = None
    ended_s: float = float("inf")


class Reading(NamedTuple):
    """What a client saw of an entity."""

    client: str
    entity_id: str
    at_least: int  # the position that it had to include
    seen: Seen
    at_s: float


class Grant(NamedTuple):
    """A claim that a client was told it has."""

    entity_id: str
    holder: str
    token: int
    began_s: float
    ended_s: float


@dataclass(slots=True)
class Ledger:
    """All of it."""

    deeds: list[Deed] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)

    def acked(self) -> int:
        """Return how many events were told to be durable."""
        return sum(deed.outcome == ACKED for deed in self.deeds)
