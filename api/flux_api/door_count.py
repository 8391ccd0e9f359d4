"""How many doors there are where nodes say so: one for each unit of the custom resource `flux-door`.

A node that is started with `ray start --resources '{"flux-door": 1}'` has one door, with 4 four of them. Each
door takes a unit, so Ray puts it where one is free; Serve asks this policy, ten times a second, how many it
should keep. Serve takes the module with it by value, so it holds nothing but what the function needs.
"""

from __future__ import annotations

from typing import Any

DOOR_RESOURCE = "flux-door"
_LOOK_S = 1.0  # between two looks at the nodes: each is a call to Ray's head
_AT_S = "at_s"
_DOORS = "doors"


def doors_of_nodes(context: Any) -> tuple[int, dict[str, Any]]:
    """Return the doors that there should be, and what is remembered until the next question."""
    state: dict[str, Any] = dict(context.policy_state or {})
    if context.current_time < state.get(_AT_S, 0.0) + _LOOK_S:
        return state[_DOORS], state
    doors = door_places(nodes_of_cluster())
    return doors, state | {_AT_S: context.current_time, _DOORS: doors}


def nodes_of_cluster() -> list[dict[str, Any]]:
    """Return the nodes of the Ray cluster that this process is in."""
    import ray  # noqa: PLC0415 - the module goes to Serve by value, with all that it names

    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def door_places(nodes: list[dict[str, Any]]) -> int:
    """Return how many doors the living nodes have room for."""
    return sum(int(node["Resources"].get(DOOR_RESOURCE, 0)) for node in nodes if node["Alive"])


def go_by_nodes(nodes: list[dict[str, Any]], *, asked: bool | None) -> bool:
    """Whether doors go by the nodes: as was asked, else if some node has a place for one."""
    return door_places(nodes) > 0 if asked is None else asked
