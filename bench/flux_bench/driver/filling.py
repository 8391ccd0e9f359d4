"""Entities with a behaviour, each of which has handled one message and then has nothing to do."""

from __future__ import annotations

from typing import Any

import msgspec

import flux_actors as flux
from flux_bench.driver.behaviours import Silent, entity_of
from flux_bench.driver.messages import handled_all


class Filling(msgspec.Struct):
    """Entities by their numbers."""

    first: int
    entities: int

    def run(self) -> dict[str, Any]:
        """Have each handle a message."""
        flux.deploy(Silent)
        with flux.connect(source="flux-bench") as user:
            handled_all(
                user,
                [
                    (
                        entity_of("silent", number),
                        {"temperature": 21.5, "status": "active", "sequence": number},
                    )
                    for number in range(self.first, self.first + self.entities)
                ],
            )
        return {}
