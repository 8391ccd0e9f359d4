"""Doors by the custom resource of the nodes."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest
import ray
from ray.serve.config import AutoscalingConfig

from flux_api import deployment
from flux_api.door_count import door_places, doors_of_nodes, go_by_nodes


def node(doors, *, alive=True):
    return {"Alive": alive, "Resources": {"CPU": 2.0} | ({"flux-door": doors} if doors is not None else {})}


NODES = [node(1.0), node(2.0), node(None), node(4.0, alive=False)]


def test_living_nodes_have_as_many_places_as_they_say():
    assert door_places(NODES) == 3
    assert door_places([node(None)]) == 0


@pytest.mark.parametrize(
    ("nodes", "asked", "by_nodes"),
    [(NODES, None, True), ([node(None)], None, False), (NODES, False, False), ([], True, True)],
)
def test_they_go_by_the_nodes_when_one_has_a_place_unless_told_otherwise(nodes, asked, by_nodes):
    assert go_by_nodes(nodes, asked=asked) is by_nodes


def test_the_nodes_are_looked_at_once_a_second(monkeypatch):
    looks = []
    nodes = [node(1.0)]
    monkeypatch.setattr(ray, "nodes", lambda: looks.append(1) or nodes)
    state = {}
    told = []
    for second in (10.0, 10.1, 10.9, 11.0):
        doors, state = doors_of_nodes(SimpleNamespace(policy_state=state, current_time=second))
        told.append(doors)
        nodes = NODES
    assert told == [1, 1, 1, 3]
    assert len(looks) == 2


def test_serve_takes_it_as_a_policy_that_needs_nothing_of_flux():
    config = AutoscalingConfig(**deployment._ON_NODES["autoscaling_config"])  # noqa: SLF001 - what Serve is told
    packed = config.policy.get_serialized_policy_def()
    assert b"flux_actors" not in packed
    assert pickle.loads(packed).__name__ == "doors_of_nodes"  # noqa: S301 - made a line before
