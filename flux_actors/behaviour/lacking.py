"""Why no node of a Ray cluster can hold the own actor of an entity, in words for whoever waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from flux_actors.behaviour.ports import Place

_NODES_TOLD: Final = 8
_ID_CHARS: Final = 12


def lacking(place: Place, nodes: Iterable[Mapping[str, Any]]) -> str:
    """Return why there is no room for it even when nothing else runs, `""` where there is.

    Arguments:
        place: of an entity with an actor of its own.
        nodes: as `ray.nodes()` tells of them.
    """
    dedicated = place.dedicated
    if dedicated is None:
        return ""
    living = [node for node in nodes if node["Alive"]]
    if place.node:
        living = [node for node in living if node["NodeID"] == place.node]
        if not living:
            return f"the actor of {place.entity_id[:200]!r} is pinned to node {place.node}, which is gone"
    wanted = {"CPU": dedicated.num_cpus, "GPU": dedicated.num_gpus, **dedicated.resources}
    if any(all(node["Resources"].get(name, 0) >= value for name, value in wanted.items()) for node in living):
        return ""
    asked = ", ".join(f"{name} {value:g}" for name, value in wanted.items() if value)
    there = "; ".join(_told(node, wanted) for node in living[:_NODES_TOLD])
    nodes_told = f"its node has {there}" if place.node else f"no node of this Ray cluster has that ({there})"
    return f"the actor of {place.entity_id[:200]!r} asks for {asked}, and {nodes_told}"


def _told(node: Mapping[str, Any], wanted: Mapping[str, float]) -> str:
    """Return what a node has of what is wanted."""
    has = ", ".join(f"{name} {node['Resources'].get(name, 0):g}" for name, value in wanted.items() if value)
    return f"{node['NodeID'][:_ID_CHARS]}: {has}"
