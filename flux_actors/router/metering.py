"""What the router tells of itself: shards, and partitions that have none or move."""

from __future__ import annotations

from collections.abc import Iterator

from flux_actors.metering import table
from flux_actors.metering.samples import Sample
from flux_actors.router.router import Router


class RouterMeter:
    """Looks at a router."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def samples(self) -> Iterator[Sample]:
        """Yield what there is to tell now."""
        router, counts = self._router, self._router.counts
        yield table.SHARDS.of(len(router.shard_names()))
        yield table.WANTED_SHARDS.of(router.wanted)
        yield table.UNPLACED.of(sum(owner is None for owner in router.topology.owners))
        yield table.SHARD_STARTS.of(counts.starts)
        yield table.UNANSWERED.of(counts.unanswered)
        yield table.MOVES.of(counts.moves)
        yield table.MOVES_LEFT.of(router.moves_left)
        yield table.HANDOVER_SECONDS.seen_by(counts.handover_s)
        yield table.UNWRITTEN.of(router.unwritten)
