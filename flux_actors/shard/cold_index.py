"""The index of a partition whose entities leave memory: the cold store's own order."""

from __future__ import annotations

from flux_actors import limits
from flux_actors.domain.cold import Cold
from flux_actors.domain.entity import Readable
from flux_actors.domain.fold import PartitionState


class ColdIndex:
    """What `IdIndex` is where everything is hot."""

    def __init__(self, state: PartitionState, cold: Cold) -> None:
        self._state = state
        self._cold = cold

    def refresh(self) -> None:
        """Do nothing: the order is always up to date."""

    def living(self, prefix: str, after: str | None, ids_max: int) -> tuple[list[Readable], str | None]:
        """Return those of the next `ids_max` ids that live, or of fewer, and where to go on, if anywhere."""
        found: list[Readable] = []
        entities = self._state.entities
        looked_at = size = 0
        last = after
        with self._cold.walk(prefix if after is None else after) as ids:
            for entity_id, kept in ids:
                if entity_id == after:
                    continue
                if not entity_id.startswith(prefix):
                    break
                if looked_at == ids_max or size >= limits.run_bytes:
                    return found, last
                looked_at += 1
                last = entity_id
                actor = entities.get(entity_id)
                if actor is not None:
                    if actor.lives:
                        found.append(actor)
                elif kept is not None and kept.lives:
                    found.append(kept)
                    size += kept.size
        return found, None
