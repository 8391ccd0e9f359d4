from __future__ import annotations

from typing import Any

import pytest

from flux_actors.behaviour.lacking import lacking
from flux_actors.behaviour.ports import Place
from flux_actors.domain.acting.catalogue import Dedicated


def node(name: str, *, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "Resources": resources}


def place(pinned: str = "", **resources: float) -> Place:
    return Place("", "home/fan", Dedicated(num_cpus=2, resources=resources), pinned)


@pytest.mark.parametrize(
    "nodes",
    [[node("0a", CPU=2.0)], [node("0a"), node("0b", CPU=8.0)]],
    ids=["just enough", "one of several"],
)
def test_node_that_has_all_of_it_is_enough(nodes: list[dict[str, Any]]) -> None:
    assert lacking(place(), nodes) == ""


def test_what_no_living_node_has_all_of_is_told_with_what_they_have() -> None:
    nodes = [node("0a", CPU=2.0), node("0b", CPU=1.0, camera=1.0), node("0c", alive=False, CPU=9.0, camera=1)]
    assert lacking(place(camera=1), nodes) == (
        "the actor of 'home/fan' asks for CPU 2, camera 1, and no node of this Ray cluster has that "
        "(0a: CPU 2, camera 0; 0b: CPU 1, camera 1)"
    )


def test_of_a_pinned_one_only_its_node_counts() -> None:
    nodes = [node("0a", CPU=2.0), node("0b", CPU=1.0)]
    assert lacking(place("0a"), nodes) == ""
    assert lacking(place("0b"), nodes).endswith("asks for CPU 2, and its node has 0b: CPU 1")
    assert lacking(place("0c"), nodes) == "the actor of 'home/fan' is pinned to node 0c, which is gone"


def test_code_beside_the_shard_lacks_nothing() -> None:
    assert lacking(Place("env"), []) == ""
