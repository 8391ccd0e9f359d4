"""Nodes whose clocks differ."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Final

import msgspec

from flux_cluster.chaos.clocks import SEEN_S
from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.world import World


class ClockSkew(msgspec.Struct, forbid_unknown_fields=True):
    """The clocks of nodes are stepped, one by so many seconds and the next by others, and back when it is healed."""

    by_s: tuple[float, ...] = (120.0, -120.0)

    async def inject(self, world: World, chance: random.Random) -> str:
        nodes = chance.sample(sorted(world.ray.nodes), len(self.by_s))
        for number, by_s in zip(nodes, self.by_s, strict=True):
            world.ray.nodes[number].clock.put(by_s)
        await asyncio.sleep(SEEN_S)
        return ", ".join(f"node {n} {by_s:+g} s" for n, by_s in zip(nodes, self.by_s, strict=True))

    async def heal(self, world: World) -> None:
        for node in world.ray.nodes.values():
            node.clock.put(0.0)


FAULTS: Final[Mapping[str, type[Fault]]] = {"clock-skew": ClockSkew}
