"""The load of a scenario: where its clients write, what they know together, and who of them does nothing."""

from __future__ import annotations

import pytest

from flux_actors.domain.partitioning import Partitioning
from flux_cluster.chaos.load import Load
from flux_cluster.chaos.scenario import Workload

PARTITIONS = 4
RULE = Partitioning(PARTITIONS)


def made(prefix: str = "c1-", seed: int = 1) -> Load:
    return Load("http://127.0.0.1:1", Workload(), seed, prefix, PARTITIONS)


@pytest.mark.parametrize("prefix", [f"c{number}-" for number in range(8)])
def test_every_client_that_writes_has_a_namespace_in_each_partition(prefix):
    load = made(prefix)
    for client in (*load.publishers, *load.counters):
        assert [RULE.of_entity(f"{space}/e") for space in client.spaces] == [0, 1, 2, 3]
    for writes in (True, False):
        probed = [RULE.of_entity(f"{one.space}/e") for one in load.probers if one.writes is writes]
        assert probed == [0, 1, 2, 3]


def test_all_namespaces_follow_from_the_prefix_and_those_of_probers_are_their_own():
    load, again, other = made("c1-"), made("c1-"), made("c2-")
    assert load.publishers[0].spaces == again.publishers[0].spaces
    assert not set(load.publishers[0].spaces) & set(other.publishers[0].spaces)
    spaces = {*load.publishers[0].spaces, *(one.space for one in load.probers)}
    assert len(spaces) == 2 * PARTITIONS
    assert all(space.startswith("c1-") for space in spaces)


def test_what_probers_were_acknowledged_must_be_there_too():
    load = made()
    load.publishers[0].state["c1-0/e"] = {"n": 7}
    writes, lists = load.probers[:2]
    writes.answered = lists.answered = 3
    assert load.expected == {"c1-0/e": {"n": 7}, f"{writes.space}/probe": {"n": 2}}
    assert load.acked == 3


def test_who_did_nothing_more_is_named():
    load = made()
    everybody = load.activity(of_watchers=True)
    assert len(everybody) == 3 + 2 + 8 + 3
    assert load.idle(everybody) == list(everybody)
    for publisher in load.publishers:
        publisher.acked["c1-0/e"] = ["id"]
    load.counters[1].counted["c1-0/count"] = [1]
    load.onlookers[0].changes = 1
    for prober in load.probers[1:]:
        prober.answered = 1
    assert load.idle(load.activity(of_watchers=False) | {"counter 1": 0, "publisher 2": 0})[:2] == [
        "publisher 0",
        "publisher 1",
    ]
    assert load.idle(everybody) == [
        "counter 0",
        f"prober that publishes to {load.probers[0].space}",
        f"watcher 1 of {load.onlookers[1].name}",
        f"watcher 2 of {load.onlookers[2].name}",
    ]


def test_the_trouble_of_every_client_is_told():
    load = made()
    load.publishers[1].trouble.append("a")
    load.counters[0].trouble.append("b")
    load.probers[0].trouble.append("c")
    assert list(load.trouble()) == ["publisher 1: a", "counter 0: b", f"{load.probers[0].name}: c"]
