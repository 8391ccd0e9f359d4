"""The cost model: what it must do whatever the costs are, and what it says of costs that are known."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_bench.scale.model import SYNC_EVENTS, Cluster, Line, Resource, costs_of, fitted, here, predict
from flux_bench.scale.outcome import Load, Syncs
from tests.unit.bench.scale_sample import SYNCS, costs_like, points_of

cost = st.floats(0.01, 1e4)
lines = st.builds(Line, cost, st.just(0.0) | st.floats(1e-3, 1e3))
loads = st.sampled_from(list(Load))
costs_ = st.builds(costs_like, loads, lines, cost, lines)
clusters = st.builds(
    Cluster,
    nodes=st.integers(1, 16),
    cores=st.integers(1, 64),
    doors_per_node=st.integers(1, 3),
    shards_per_node=st.integers(1, 3),
    partitions=st.integers(1, 64),
    log_servers=st.integers(1, 7),
    copies=st.just(1),
)


@given(costs_, clusters, st.integers(1, 4))
def test_more_of_anything_never_predicts_less(costs, cluster, more):
    rate = predict(costs, cluster, SYNCS).events_per_s
    for name in ("nodes", "cores", "doors_per_node", "shards_per_node", "partitions", "log_servers"):
        larger = replace(cluster, **{name: getattr(cluster, name) + more})
        assert predict(costs, larger, SYNCS).rate >= predict(costs, cluster, SYNCS).rate * (1 - 1e-9), name
    assert predict(costs, replace(cluster, copies=3), SYNCS).events_per_s <= rate


@given(costs_, clusters)
def test_what_is_at_its_end_first_is_what_is_used_most_and_nothing_is_used_more_than_whole(costs, cluster):
    found = predict(costs, cluster, SYNCS)
    assert found.uses[found.first] == pytest.approx(1.0)
    assert max(found.uses.values()) == found.uses[found.first]
    assert all(0 <= use <= 1 + 1e-9 for use in found.uses.values())
    assert 1 <= found.doors <= cluster.doors_max


@given(loads, lines, cost, st.floats(1, 10))
def test_dearer_events_never_predict_more(load, door, shard, times):
    cheap = predict(costs_like(load, door, shard), Cluster(8), SYNCS)
    dear = predict(
        costs_like(load, Line(door.once * times, door.each_door * times), shard), Cluster(8), SYNCS
    )
    assert dear.rate <= cheap.rate * (1 + 1e-9)


FREE = Line(0, 0)
SINGLES, READS = Load.SINGLES, Load.READS
READ = costs_like(READS, Line(10, 0), 0, FREE)._replace(network_bytes=Line(1_000, 0), log_bytes=FREE)


@pytest.mark.parametrize(
    ("costs", "cluster", "resource", "rate"),
    [
        (costs_like(SINGLES, Line(20, 0)), Cluster(2, copies=1), Resource.DOORS, 100_000),
        (costs_like(SINGLES, Line(2, 0), 20), Cluster(3, copies=1), Resource.SHARDS, 150_000),
        (costs_like(SINGLES, Line(1, 0), 20), Cluster(9, partitions=1), Resource.SHARDS, 50_000),
        (
            costs_like(SINGLES, Line(1, 0), 1, Line(80, 0)),
            Cluster(9, log_servers=1, copies=1),
            Resource.LOG,
            50_000,
        ),
        (costs_like(SINGLES, Line(15, 0), 25), Cluster(2, cores=1), Resource.NODES, 50_000),
        (READ, Cluster(4), Resource.DOORS, 400_000),
        (READ, Cluster(4, network_bytes_s=13e6), Resource.NETWORK, 52_000),
        (
            READ._replace(log_bytes=Line(100, 0)),
            Cluster(4, network_bytes_s=11e6),
            Resource.NETWORK,
            44_000,
        ),
        (
            READ._replace(log_bytes=Line(1_000, 0)),
            Cluster(4, network_bytes_s=11e6),
            Resource.LOG_NETWORK,
            9_000,
        ),
    ],
)
def test_each_resource_can_be_the_first_at_its_end(costs, cluster, resource, rate):
    found = predict(costs, cluster, SYNCS)
    assert (found.first, found.events_per_s) == (resource, pytest.approx(rate))


def test_a_disk_that_syncs_slowly_bounds_full_blocks_of_one_partition_and_of_all():
    costs = costs_like(Load.BATCHES, Line(0.1, 0), 0.1, Line(0.1, 0))._replace(log_bytes=Line(0, 0))
    slow = Syncs(10.0, 4, 15.0)
    one = predict(costs, Cluster(4, partitions=1), slow)
    assert (one.first, one.events_per_s) == (Resource.ORDER, pytest.approx(10 * SYNC_EVENTS))
    many = predict(costs, Cluster(4), slow)  # three servers, three copies
    assert (many.first, many.events_per_s) == (Resource.SYNCS, pytest.approx(15 * SYNC_EVENTS))


def test_a_door_that_costs_more_than_it_brings_is_left_out():
    dear_to_hear = costs_like(Load.SINGLES, Line(10, 0), shard=1, log=Line(1, 10))
    found = predict(dear_to_hear, Cluster(16, log_servers=1, copies=1), SYNCS)
    assert found.doors < 16
    assert found.rate >= predict(dear_to_hear, Cluster(15, log_servers=1, copies=1), SYNCS).rate


def test_watchers_are_counted_in_messages_which_grow_with_the_doors_that_have_sockets():
    costs = costs_like(Load.WATCHERS, Line(0, 40))
    found = predict(costs, Cluster(4), SYNCS)
    assert found.rate == pytest.approx(found.events_per_s * 60 * 4)


@given(st.floats(0.1, 100), st.floats(0, 100))
def test_a_line_is_found_again(once, each_door):
    found = fitted([(doors, once + each_door * doors) for doors in (1, 1, 2, 4)])
    assert found.once == pytest.approx(once, abs=1e-6)
    assert found.each_door == pytest.approx(each_door, abs=1e-6)


@given(st.lists(st.tuples(st.integers(1, 8), st.floats(0, 1e3)), min_size=1))
def test_no_part_of_a_cost_is_below_nothing(points):
    found = fitted(points)
    assert found.once >= 0
    assert found.each_door >= 0


@pytest.mark.parametrize("load", Load)
@pytest.mark.parametrize("cores", [1, 2, 8])
def test_points_that_follow_from_costs_are_predicted_from_the_others(load, cores):
    heard = Line(0, 0) if load is Load.READS else Line(0, 3)
    points = points_of(costs_like(load, Line(20, heard.each_door), log=Line(7, heard.each_door)), cores)
    for point in points:
        known = costs_of([other for other in points if other is not point])
        assert here(known, point) == pytest.approx(point.rate)


def test_more_doors_make_no_read_dearer_and_no_fold():
    points = [
        msgspec.structs.replace(point, cpu_us={"door": 7.0 * point.doors, "shard": 1.0 * point.doors})
        for point in points_of(costs_like(Load.READS, Line(7, 0)))
    ]
    assert costs_of(points).cpu_us["door"] == Line(14, 0)  # what was dearer was the core that doors shared
    published = [msgspec.structs.replace(point, load=Load.SINGLES) for point in points]
    assert costs_of(published).cpu_us["door"] == (pytest.approx(0, abs=1e-9), pytest.approx(7))
    assert costs_of(published).cpu_us["shard"] == Line(2, 0)


def test_on_a_core_of_its_own_a_door_is_the_bound_and_on_one_for_all_their_sum():
    costs = costs_like(Load.SINGLES, Line(20, 0), shard=6, log=Line(4, 0))
    alone, shared = points_of(costs, 8)[0], points_of(costs, 1)[0]
    assert alone.rate == pytest.approx(50_000)
    assert shared.rate == pytest.approx(1e6 / (20 + 6 + 4 + 10))
