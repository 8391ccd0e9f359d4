"""Comparing a log with its copy: what is said of every entity, what waits for behaviours, and the totals.

Everything must be the same but positions, which name places. Entities that a reducer has suspended are left
out: they wait for an order of the log, which says how they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from flux_actors.domain.entity import EntityActor
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.terms import Terms
from flux_actors.errors import Unavailable
from flux_actors.repartition.carrying import Place
from flux_actors.repartition.recutting import Disagreeing, Recutter

_NAMED_MAX: Final = 5


def compare_entities(recutter: Recutter) -> int:
    """Compare the entities that have changed since the last time, and return how many these were.

    Raises:
        Disagreeing: one of them differs.
    """
    touched = len(recutter.touched)
    different = [entity_id for entity_id in recutter.touched if not _same(recutter, entity_id)]
    if different:
        named = ", ".join(sorted(different)[:_NAMED_MAX])
        raise Disagreeing(f"{len(different)} entities of the copy differ from the log, such as {named}")
    recutter.touched.clear()
    return touched


def compare_totals(recutter: Recutter) -> None:
    """Compare what is counted, and what is known of behaviours.

    Raises:
        Disagreeing: something differs. Unavailable: a message is halfway done; look again in a moment.
    """
    there, here = _totals(recutter.log), _totals(recutter.copy)
    if there != here:
        differing = sorted(name for name in there if there[name] != here[name])
        raise Disagreeing(f"{', '.join(differing)} of the copy differ from the log")
    waiting = dict(_messages(recutter.log))
    if recutter.names.unnamed & waiting.keys():
        raise Unavailable("a message had effects before it was seen itself; try again in a moment")
    named = {recutter.names.of(place) for place in waiting}
    if named - dict(_messages(recutter.copy)).keys():
        raise Disagreeing("a message to a behaviour is missing in the copy")


def surplus(recutter: Recutter) -> dict[int, Terms]:
    """Return notes by which partitions of the copy lose messages that the log has not.

    They come about where an entity took an event around a deployment under the later version.
    """
    named = {recutter.names.of(place) for place, _ in _messages(recutter.log)}
    found: dict[int, list[int]] = {}
    for place, _ in _messages(recutter.copy):
        if place not in named:
            found.setdefault(place.partition, []).append(place.position)
    return {partition: Terms(handled=positions) for partition, positions in found.items()}


def facts_of(actor: EntityActor) -> tuple[Any, ...]:
    """Return all that must be the same of an entity: its state, its times, its leases, its history."""
    history = actor.positions(0, 1 << 62, 1 << 30)
    times = [clock_us for _, clock_us in history]
    return actor.properties, actor.updated_us, actor.leases, times


def _same(recutter: Recutter, entity_id: str) -> bool:
    there = recutter.log[recutter.before.of_entity(entity_id)]
    here = recutter.copy[recutter.after.of_entity(entity_id)]
    if entity_id in there.acting.suspended or entity_id in here.acting.suspended:
        return True
    one, other = there.find(entity_id), here.find(entity_id)
    if one is None or other is None:
        return one is other
    return facts_of(one) == facts_of(other)


def _messages(states: Sequence[PartitionState]) -> Iterator[tuple[Place, str]]:
    for state in states:
        for position, message in state.acting.outbox.messages.items():
            yield Place(state.partition, position), message.entity_id


def _totals(states: Sequence[PartitionState]) -> dict[str, Any]:
    """Return what the partitions of a log have together."""
    namespaces: dict[str, int] = {}
    stopped: dict[str, str] = {}
    suspended: set[str] = set()
    for state in states:
        for name, totals in state.namespaces.items():
            namespaces[name] = namespaces.get(name, 0) + totals.entities
        stopped |= state.acting.stopped
        suspended |= state.acting.suspended.keys()
    return {
        "events": sum(state.events_total for state in states),
        "entities": sum(state.known for state in states),
        "living entities": sum(state.alive for state in states),
        "namespaces": namespaces,
        "stopped behaviours": stopped,
        "suspended behaviours": suspended,
        "catalogues": max(state.acting.catalogue.revision for state in states),
    }
