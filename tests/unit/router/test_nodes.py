"""On which node a shard is started."""

from __future__ import annotations

import pytest

from flux_actors.router.nodes import node_for


def node(name, *, alive=True, **resources):
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": 2.0} | resources}


SHARDS = {"flux-shard": 1.0}


@pytest.mark.parametrize("nodes", [[], [node("a")], [node("a"), node("b", alive=False)]])
def test_where_there_is_one_node_nothing_is_to_choose(nodes):
    assert node_for(nodes, []) is None


def test_the_node_with_the_fewest_shards_is_taken():
    nodes = [node("a"), node("b"), node("c")]
    assert node_for(nodes, []) == "a"
    assert node_for(nodes, ["a", "c"]) == "b"
    assert node_for(nodes, ["a", "b", "b", "c", "c"]) == "a"


def test_a_dead_node_is_not_taken():
    assert node_for([node("a", alive=False), node("b"), node("c")], ["b"]) == "c"


def test_nodes_that_are_there_for_shards_alone_count():
    nodes = [node("a"), node("b", **SHARDS), node("c", **SHARDS)]
    assert node_for(nodes, ["b"]) == "c"
    assert node_for([node("a"), node("b", **SHARDS)], ["b"]) == "b"


def test_a_successor_is_not_started_where_its_predecessor_failed_unless_that_is_all_there_is():
    nodes = [node("a"), node("b")]
    assert node_for(nodes, ["b", "b"], failed_on="a") == "b"
    assert node_for([node("a", **SHARDS), node("b")], [], failed_on="a") == "a"
