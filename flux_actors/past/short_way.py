"""The short way to an entity's past: from its own events, without those of all others.

An entity keeps the positions of its newest events. When these reach back to its first event, or to a
deletion, what it was at any moment since follows from them: nothing of what was before is left in it.

That holds of entities that no reducer was ever for (`domain/acting/reduced.py`): a reducer makes of an event
what it likes, and an event that came while it was stopped changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flux_actors.domain.effect import effect_of
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.event import Event


def entity_from(
    entity_id: str, places: Sequence[tuple[int, int]], events: Sequence[Event], *, whole: bool
) -> tuple[EntityRow | None] | None:
    """Return the entity behind its events, in a tuple; `None` if they do not tell.

    Arguments:
        entity_id: whose events these are.
        places: the packed position and the log time of each, newest first.
        events: the events themselves, in the same order.
        whole: whether the last is the entity's first of all.
    """
    known = whole
    properties: dict[str, Any] | None = None
    position = updated_us = 0
    for (place, clock_us), event in zip(reversed(places), reversed(events), strict=True):
        effect = effect_of(event, place, clock_us)
        if effect is None:
            known, properties = True, None
        elif effect:
            properties = (properties or {}) | effect
            position, updated_us = place, clock_us
    if not known:
        return None
    return (None if properties is None else EntityRow(entity_id, properties, position, updated_us),)
