"""nats-servers that are killed, or stand still: the leader of something, most of them, or all."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from flux_actors.log.generations import stream_name
from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.nats_servers import SERVERS
from flux_cluster.chaos.quorum import is_current, leader
from flux_cluster.chaos.waiting import until
from flux_cluster.chaos.witness import make_warm, see_refusals
from flux_cluster.chaos.world import PARTITIONS, World

_LEADER_S: Final = 30.0
_CURRENT_S: Final = 60.0
Leads = Literal["stream", "meta"]


class NatsKill(msgspec.Struct, forbid_unknown_fields=True):
    """`kill -9` of some servers, one of them a leader; they are started again when it is healed.

    Where that leaves no quorum, `refused_within_s` asks for what clients must see meanwhile (`witness.py`).
    """

    servers: int = 1
    leads: Leads = "stream"  # what the first of them leads: the log of some partition, or JetStream itself
    refused_within_s: float = 0.0
    _killed: list[int] = []

    async def inject(self, world: World, chance: random.Random) -> str:
        chosen = await servers(world, chance, self.servers, self.leads)
        if self.refused_within_s:
            await make_warm(world)
        for number in chosen:
            self._killed.append(number)
            await asyncio.to_thread(world.nats.kill, number)
        if self.refused_within_s:
            await see_refusals(world, self.refused_within_s)
        return f"nats-servers {chosen}"

    async def heal(self, world: World) -> None:
        for number in self._killed:
            world.nats.start_one(number)


class NatsPause(msgspec.Struct, forbid_unknown_fields=True):
    """A leader stands still (SIGSTOP): its connections are there and nothing comes of them."""

    leads: Leads = "stream"
    _paused: list[int] = []

    async def inject(self, world: World, chance: random.Random) -> str:
        self._paused = await servers(world, chance, 1, self.leads)
        self._signal(world, signal.SIGSTOP)
        return f"nats-server {self._paused[0]}"

    async def heal(self, world: World) -> None:
        self._signal(world, signal.SIGCONT)

    def _signal(self, world: World, number: signal.Signals) -> None:
        for one in self._paused:
            if (process := world.nats.processes[one]) is not None:
                process.send_signal(number)


async def servers(world: World, chance: random.Random, count: int, leads: Leads) -> list[int]:
    """Return the numbers of some servers, the first of them a leader.

    Raises:
        Unavailable: there is no leader.
    """
    stream = stream_name(chance.randrange(PARTITIONS)) if leads == "stream" else None
    name = await until(
        lambda: leader(world.nats.monitors, stream), _LEADER_S, f"a leader of {stream or 'JetStream'}"
    )
    first = world.nats.number_of(str(name))
    others = [number for number in range(SERVERS) if number != first]
    return [first, *chance.sample(others, count - 1)]


async def await_copies(world: World) -> None:
    """Return when each server has all blocks, so that another one may be taken down.

    Raises:
        Unavailable: one does not catch up.
    """
    streams = [stream_name(partition) for partition in range(PARTITIONS)]
    await until(
        lambda: is_current(world.nats.monitors, streams), _CURRENT_S, "the nats-servers to have all copies"
    )


FAULTS: Final[Mapping[str, type[Fault]]] = {"nats-kill": NatsKill, "nats-pause": NatsPause}
