"""What a router counts."""

from __future__ import annotations

from flux_actors.router.counting import RouterCounts


def test_a_move_counts_with_the_time_that_nobody_led():
    counts = RouterCounts()
    counts.moved(0.2)
    counts.moved(0.3)
    assert counts.moves == 2
    assert (sum(counts.handover_s.counts), counts.handover_s.total) == (2, 0.5)
