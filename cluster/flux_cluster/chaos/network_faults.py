"""The network between parts of Flux and NATS: refused, slow, or dead in one direction."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.process_faults import one_of
from flux_cluster.chaos.ray_nodes import node_of
from flux_cluster.chaos.relay import Relay, Suffering, Trouble, Who, everybody
from flux_cluster.chaos.waiting import until
from flux_cluster.chaos.world import DOOR, ROUTER, SHARD, World

Between = Literal["door", "shard", "router", "node", "all"]
_MET_S: Final = 10.0  # in which a process that has just begun has connected
_TITLES: Final = {"door": DOOR, "shard": SHARD, "router": ROUTER}


class _Network(msgspec.Struct, forbid_unknown_fields=True):
    """Trouble for the connections of one part, or of all parts of one node, to all nats-servers."""

    between: Between = "door"
    _suffered: list[tuple[Relay, Suffering]] = []

    async def heal(self, world: World) -> None:  # noqa: ARG002 - it knows what it has done
        """End the own trouble; that of other faults goes on."""
        for relay, suffering in self._suffered:
            relay.heal(suffering)

    async def _suffer(self, world: World, chance: random.Random, trouble: Trouble) -> str:
        """Begin, and return when a connection was met.

        Raises:
            Unavailable: none is there, and none comes.
        """
        who, told = self._chosen(world, chance)
        for relay in world.relays:
            self._suffered.append((relay, relay.suffer(trouble, who)))
        await until(
            lambda: any(suffering.met for _, suffering in self._suffered),
            _MET_S,
            f"a connection to NATS of {told}: its network cannot be broken",
        )
        return told

    def _chosen(self, world: World, chance: random.Random) -> tuple[Who, str]:
        if self.between == "all":
            return everybody, "everybody"
        if self.between == "node":
            number = str(chance.choice(sorted(world.ray.nodes)))
            return lambda pid: node_of(pid) == number, f"node {number}"
        title = _TITLES[self.between]
        victim = one_of(world.processes(title), chance, title).pid
        return lambda pid: pid == victim, f"{self.between}, pid {victim}"


class NatsCut(_Network, forbid_unknown_fields=True):
    """Connections are torn, and new ones are torn at once."""

    async def inject(self, world: World, chance: random.Random) -> str:
        return await self._suffer(world, chance, Trouble(refuses=True))


class NatsHalf(_Network, forbid_unknown_fields=True):
    """One direction, or both, goes dead, and nobody is told: bytes leave and never arrive."""

    loses: Literal["up", "down", "both"] = "down"

    async def inject(self, world: World, chance: random.Random) -> str:
        return await self._suffer(
            world, chance, Trouble(loses_up=self.loses != "down", loses_down=self.loses != "up")
        )


class NatsDelay(_Network, forbid_unknown_fields=True):
    """Everything takes longer, each way."""

    delay_s: float = 0.2

    async def inject(self, world: World, chance: random.Random) -> str:
        return await self._suffer(world, chance, Trouble(delay_s=self.delay_s))


FAULTS: Final[Mapping[str, type[Fault]]] = {
    "nats-cut": NatsCut,
    "nats-half": NatsHalf,
    "nats-delay": NatsDelay,
}
