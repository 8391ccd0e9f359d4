"""Entities with a behaviour, each of which has handled one message and then has nothing to do."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

import flux_actors as flux
from flux_bench.driver.behaviours import Silent, entity_of
from flux_bench.driver.messages import handled_all, run_id
from flux_bench.metering import parts

_SETTLE_S: Final = 1.0
_WARM_UP_SHARE: Final = 10
_AT_ONCE: Final = 5_000
_PARTS: Final = ("shard", "worker")


class Filling(msgspec.Struct):
    """So many entities, after some that are not measured."""

    entities: int

    def run(self) -> dict[str, Any]:
        """Return by how many bytes shard and worker have grown (RSS)."""
        flux.deploy(Silent)
        warm_up = self.entities // _WARM_UP_SHARE
        with flux.connect(source="flux-bench") as user:
            handled_all(user, _pairs(0, warm_up))
            before = _rss()
            for first in range(warm_up, warm_up + self.entities, _AT_ONCE):  # or it were a measure of a burst
                handled_all(user, _pairs(first, min(_AT_ONCE, warm_up + self.entities - first)))
            after = _rss()
        return {part: after[part] - before[part] for part in _PARTS}


def _pairs(first: int, count: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        (entity_of("silent", number), {"temperature": 21.5, "status": "active", "sequence": number})
        for number in range(first, first + count)
    ]


def _rss() -> dict[str, int]:
    time.sleep(_SETTLE_S)  # what was on its way to doors and disk is let go
    found = parts(run_id())
    return {part: sum(process.memory_info().rss for process in found[part]) for part in _PARTS}
