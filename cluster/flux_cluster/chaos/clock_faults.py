"""Nodes whose clocks differ."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Final

import msgspec

from flux_cluster.chaos.clock_witness import see_one_clock
from flux_cluster.chaos.clocks import SEEN_S
from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.world import World

_BLUR_S: Final = 20.0  # between the step and the look at it


class ClockSkew(msgspec.Struct, forbid_unknown_fields=True):
    """The clocks of some nodes are stepped, each by seconds of its own, and back when it is healed.

    At both times clients look closely at what time does (`clock_witness.py`).
    """

    by_s: tuple[float, ...] = (120.0, -120.0)

    async def inject(self, world: World, chance: random.Random) -> str:
        nodes = chance.sample(sorted(world.ray.nodes), len(self.by_s))
        for number, by_s in zip(nodes, self.by_s, strict=True):
            world.ray.nodes[number].clock.put(by_s)
        await asyncio.sleep(SEEN_S)
        await see_one_clock(world, max(self.by_s) - _BLUR_S, early=True)
        return ", ".join(f"node {n} {by_s:+g} s" for n, by_s in zip(nodes, self.by_s, strict=True))

    async def heal(self, world: World) -> None:
        for node in world.ray.nodes.values():
            node.clock.put(0.0)
        await asyncio.sleep(SEEN_S)
        await see_one_clock(world, -_BLUR_S, early=False)


FAULTS: Final[Mapping[str, type[Fault]]] = {"clock-skew": ClockSkew}
