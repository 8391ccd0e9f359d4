"""The processes of entities that have one of their own: noted when used, moved, and ended when idle.

What runs is compared with what the catalogue wants, between two messages of the entity: one that is to be
elsewhere, pinned to another node or deployed anew, ends here and begins there; one whose behaviour is gone
ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flux_actors.behaviour.ports import Place, Workers


class OwnProcesses:
    """Those of one partition."""

    def __init__(self, workers: Workers, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._clock_s = clock_s
        self._used: dict[str, tuple[Place, float]] = {}  # by entity: where it is, and when it was used

    @property
    def ids(self) -> list[str]:
        """The entities that have one."""
        return list(self._used)

    async def use(self, place: Place) -> None:
        """Note that one is used, and end the one that its entity had at another place."""
        before, _ = self._used.get(place.entity_id, (place, 0.0))
        self._used[place.entity_id] = (place, self._clock_s())
        if before != place:
            await self._workers.forget(before, [place.entity_id])

    async def end(self, entity_id: str) -> None:
        """End that of an entity, if it has one."""
        place, _ = self._used.pop(entity_id, (None, 0.0))
        if place is not None:
            await self._workers.forget(place, [entity_id])

    async def sweep(self, wanted: Callable[[str], Place | None], is_idle: Callable[[str], bool]) -> None:
        """End those that had nothing to do for long, and move those that are to be elsewhere."""
        for entity_id, (place, used_s) in list(self._used.items()):
            if not is_idle(entity_id):
                continue
            there, dedicated = wanted(entity_id), place.dedicated
            idles = dedicated is not None and self._clock_s() - used_s > dedicated.idle_s
            if there is None or idles:
                await self.end(entity_id)
            elif there != place:
                self._used[entity_id] = (there, used_s)
                await self._workers.forget(place, [entity_id])
                self._workers.begin(there)
