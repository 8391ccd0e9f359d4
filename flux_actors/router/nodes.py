"""On which node of a Ray cluster a shard is started: a pure function of nodes and of where shards are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

SHARD_RESOURCE: Final = "flux-shard"


def node_for(
    nodes: Iterable[Mapping[str, Any]], hosting: Iterable[str], failed_on: str | None = None
) -> str | None:
    """Return the node with the fewest shards, `None` if all is one node anyway.

    Arguments:
        nodes: as `ray.nodes()` tells of them. If any has the resource `flux-shard`, only those count.
        hosting: the node of each shard that lives.
        failed_on: where the shard was that this one replaces. What ended it may end its successor, so
            another node is taken if there is one.
    """
    living = [node for node in nodes if node["Alive"]]
    named = [node["NodeID"] for node in living if node["Resources"].get(SHARD_RESOURCE)]
    ids: list[str] = sorted(named or [node["NodeID"] for node in living])
    if len(living) < 2 or not ids:
        return None
    carried = Counter(hosting)
    return min([one for one in ids if one != failed_on] or ids, key=lambda one: carried[one])
