"""Reading entities wherever they are: hot from their actors, cold from their rows, which stay cold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from flux_actors.domain.cold import Cold, ColdRow
from flux_actors.domain.entity import EntityActor, EntityRow
from flux_actors.domain.fold import PartitionState

_ROWS_A_STEP: Final = 5_000  # about 3 ms


def readings(state: PartitionState, ids: Iterable[str]) -> list[EntityRow]:
    """Return those of `ids` that exist for readers, without history."""
    if state.cold is None:
        return [actor.reading() for actor in state.living(ids)]
    find = state.entities.get
    found = [find(entity_id) or state.cold.find(entity_id) for entity_id in ids]
    return [_reading(one) for one in found if one is not None and one.lives]


def positions(
    state: PartitionState, entity_id: str, since_us: int, until_us: int, count: int
) -> list[tuple[int, int]]:
    """Return what `EntityActor.positions` does, of an entity that may be cold or not exist."""
    actor = state.entities.get(entity_id)
    if actor is None and state.cold is not None:
        kept = state.cold.find(entity_id)
        actor = EntityActor.from_row(kept.row(), 0) if kept is not None else None
    return [] if actor is None else actor.positions(since_us, until_us, count)


async def changed_from(state: PartitionState, first: int) -> list[EntityRow]:
    """Return all entities with positions from `first` on, as they are now, whatever is applied meanwhile."""
    changed = {actor.entity_id: _copy(actor) for actor in state.entities.values() if actor.position >= first}
    if state.cold is not None and first <= state.cold.newest:
        await _add_cold(state.cold, first, changed)
    return list(changed.values())


async def _add_cold(cold: Cold, first: int, changed: dict[str, EntityRow]) -> None:
    with cold.walk("") as ids:
        for number, (entity_id, kept) in enumerate(ids):
            # The old row of a hot entity: had it changed so late, so has its actor, which is there already.
            if kept is not None and kept.position >= first and entity_id not in changed:
                changed[entity_id] = _reading(kept)
            if number % _ROWS_A_STEP == 0:
                await asyncio.sleep(0)


def _copy(actor: EntityActor) -> EntityRow:
    properties = dict(actor.properties) if actor.properties is not None else None
    return EntityRow(actor.entity_id, properties, actor.position, actor.updated_us)


def _reading(one: EntityActor | ColdRow) -> EntityRow:
    return EntityRow(one.entity_id, one.properties, one.position, one.updated_us)
