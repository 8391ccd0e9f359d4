"""A log of a few events with terms, applied one block after the other."""

from __future__ import annotations

from typing import Any

from flux_actors.domain.event import DELETED, Event, TermedEvent, with_terms
from flux_actors.domain.fold import Applied, PartitionState
from flux_actors.domain.position import pack
from flux_actors.domain.terms import Terms
from flux_actors.log.block import Block, Poison

MS = 1_000


def leases_of(state: PartitionState) -> dict[str, dict[str | None, int]]:
    found: dict[str, dict[str | None, int]] = {}
    for actor in state.entities.values():
        if actor.leases is not None:
            whole = {None: actor.leases.entity_us} if actor.leases.entity_us is not None else {}
            found[actor.entity_id] = whole | actor.leases.properties
    return found


def event(
    properties: dict[str, Any] | None, terms: Terms | None = None, name: str = "", key: str = "a/1"
) -> Event:
    plain = Event(key, properties, name or "made", bool(name), "s", "t", 1)
    return plain if terms is None else with_terms(plain, terms)


class Log:
    """Blocks applied one after the other."""

    def __init__(self) -> None:
        self.state = PartitionState(0)

    def put(self, *events: Event | Poison, clock_ms: int = 0) -> Applied:
        sequence = self.state.sequence + 1
        termed = any(isinstance(one, TermedEvent) for one in events)
        block = Block(1, sequence, clock_ms * MS, list(events), termed)
        return self.state.apply([(sequence, block)])

    @property
    def entity(self) -> dict[str, Any] | None:
        actor = self.state.entities.get("a/1")
        return None if actor is None else actor.properties


def at(sequence: int, offset: int = 0) -> Terms:
    return Terms(condition=(0, pack(sequence, offset)))


def ended(log: Log, name: str | None, deadline_ms: int, clock_ms: int) -> Applied:
    properties = {DELETED: True} if name is None else {name: None}
    return log.put(event(properties, Terms(expires_us=deadline_ms * MS)), clock_ms=clock_ms)
