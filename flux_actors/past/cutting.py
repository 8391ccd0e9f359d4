"""The block in which a target stands: applied whole, then taken back as far as it is behind the target.

Whether an event applies may depend on those behind it: an atomic batch is applied whole or not at all. So the
fold decides on all of the block, and of what it says changed only what counts is done to the entities as they
were before. What results can be read, and is not folded on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flux_actors.domain.change import Step
from flux_actors.domain.entity import EntityActor
from flux_actors.domain.event import Event, EventHead, terms_in
from flux_actors.domain.fold import PartitionState
from flux_actors.log.block import Block, Poison


class _Before(NamedTuple):
    properties: dict[str, Any] | None
    position: int
    updated_us: int


_UNBORN = _Before(None, -1, 0)


def apply_up_to(state: PartitionState, sequence: int, block: Block[EventHead], position: int) -> None:
    """Apply the events of a block up to the one at a packed position."""
    ids = {entity_id for event in block.events if (entity_id := _concerned(event)) is not None}
    before = {entity_id: _of(state.entities.get(entity_id)) for entity_id in ids}
    changes = state.apply([(sequence, block)]).changes
    for entity_id, was in before.items():
        actor = state.entities.get(entity_id)
        if actor is not None:
            actor.properties, actor.position, actor.updated_us = was
    for step in changes:
        if step[0] <= position:
            _take(state.entities[step[1]], step)


def _concerned(event: EventHead | Poison) -> str | None:
    """Return the entity that an event may change: an order about a behaviour names one in its terms."""
    if event.entity_id is not None or not isinstance(event, Event):
        return event.entity_id
    terms = terms_in(event)
    return None if terms is None or terms.order is None else terms.order.entity_id


def _of(actor: EntityActor | None) -> _Before:
    if actor is None:
        return _UNBORN
    properties = None if actor.properties is None else dict(actor.properties)
    return _Before(properties, actor.position, actor.updated_us)


def _take(actor: EntityActor, step: Step) -> None:
    position, _, properties, clock_us = step
    actor.properties = None if properties is None else {**(actor.properties or {}), **properties}
    actor.position, actor.updated_us = position, clock_us
