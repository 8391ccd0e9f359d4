"""Loads of partitions: rates are smoothed, and weights follow them."""

from __future__ import annotations

import pytest

from flux_actors.router.loads import Loads
from flux_actors.shard.partition import PartitionStatus


def row(partition, events_total, entities=0):
    return PartitionStatus(partition, 1, "running", 0, 0, events_total, entities, 0, 0, None)


def test_before_anything_was_heard_all_weigh_the_same():
    assert len(set(Loads(3).weights())) == 1


def test_a_busy_partition_weighs_more():
    loads = Loads(2)
    for second in range(3):
        loads.note([row(0, 900 * second), row(1, 100 * second)], float(second))
    assert loads.weights() == pytest.approx([0.55, 0.15])


def test_a_burst_counts_less_than_what_lasts():
    loads = Loads(2)
    for second in range(300):
        burst = 10_000 if second == 299 else 0
        loads.note([row(0, 100 * second), row(1, 10 * second + burst)], float(second))
    first, second = loads.weights()
    assert second / first < 2
    assert second > 0.1


def test_what_is_kept_weighs_as_well():
    loads = Loads(2)
    loads.note([row(0, 0, 30), row(1, 0, 10)], 0.0)
    assert loads.weights() == pytest.approx([0.475, 0.225])


def test_a_shard_that_begins_to_count_anew_has_no_rate_for_that():
    loads = Loads(1)
    for at_s, total in ((0.0, 0), (1.0, 100), (2.0, 0)):
        loads.note([row(0, total)], at_s)
    assert loads.weights() == pytest.approx([0.7])
