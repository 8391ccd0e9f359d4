"""Disks of nats-servers that are slow, or full, and logs that may take no more of them.

Neither can be done to a server that runs: it is started again, one after the other, on the disk that is then
broken, and once more on its own disk when that is healed. Each time the others have all blocks first.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec

from flux_actors.errors import Unavailable
from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.nats_faults import await_copies, servers
from flux_cluster.chaos.nats_servers import SERVERS
from flux_cluster.chaos.quorum import stored_bytes
from flux_cluster.chaos.slow_disk import SlowDisk
from flux_cluster.chaos.small_disk import SmallDisk
from flux_cluster.chaos.waiting import until
from flux_cluster.chaos.witness import fill, make_warm, see_refusals
from flux_cluster.chaos.world import World

_SMALL_BYTES: Final = 256 * 1024 * 1024
_BACK_S: Final = 30.0
_LEFT_BYTES: Final = 8 * 1024 * 1024  # what the load writes meanwhile is a tenth of it


class NatsSlowDisk(msgspec.Struct, forbid_unknown_fields=True):
    """Each sync of some servers takes longer."""

    servers: int = 1
    delay_s: float = 0.2
    _slow: dict[int, SlowDisk] = {}

    async def inject(self, world: World, chance: random.Random) -> str:
        for number in await servers(world, chance, self.servers, "stream"):
            await await_copies(world)
            await asyncio.to_thread(world.nats.kill, number)
            self._slow[number] = SlowDisk()
            world.nats.start_one(number, self._slow[number].start)
        await await_copies(world)
        for disk in self._slow.values():
            disk.delay_s = self.delay_s
        return f"nats-servers {list(self._slow)}, {self.delay_s:g} s"

    async def heal(self, world: World) -> None:
        for disk in self._slow.values():
            disk.delay_s = 0.0
        for number in self._slow:
            await await_copies(world)
            await asyncio.to_thread(world.nats.kill, number)
            world.nats.start_one(number)


class NatsFullDisk(msgspec.Struct, forbid_unknown_fields=True):
    """The disks of some servers have no room left.

    JetStream ends itself where it could not write, and stays so, room or no room: healing makes room and
    restarts the server, which is what an operator does, or who looks after its health.
    """

    servers: int = 1
    refused_within_s: float = 0.0  # as that of `nats-kill`
    _small: dict[int, SmallDisk] = {}

    async def inject(self, world: World, chance: random.Random) -> str:
        for number in await servers(world, chance, self.servers, "stream"):
            await await_copies(world)
            await asyncio.to_thread(self._move_in, world, number)
        await await_copies(world)
        if self.refused_within_s:
            await make_warm(world)
        for disk in self._small.values():
            await asyncio.to_thread(disk.fill)
        if self.refused_within_s:
            await see_refusals(world, self.refused_within_s)
        return f"nats-servers {list(self._small)}"

    async def heal(self, world: World) -> None:
        for number, disk in self._small.items():
            disk.clear()
            await asyncio.to_thread(world.nats.kill, number)
            world.nats.start_one(number)
        for number, disk in self._small.items():
            await await_copies(world)
            await asyncio.to_thread(self._move_out, world, number, disk)

    def _move_in(self, world: World, number: int) -> None:
        """Have a server go on with its store on a small disk."""
        world.nats.kill(number)
        store = world.nats.store(number)
        aside = store.rename(store.with_name("aside"))
        store.mkdir()
        try:
            self._small[number] = disk = SmallDisk(store, _SMALL_BYTES)
            disk.mount()
            shutil.copytree(aside, store, dirs_exist_ok=True)
            shutil.rmtree(aside)
        finally:
            world.nats.start_one(number)

    def _move_out(self, world: World, number: int, disk: SmallDisk) -> None:
        """Have it go on with its store where that was."""
        world.nats.kill(number)
        store = world.nats.store(number)
        aside = store.with_name("aside")
        shutil.copytree(store, aside)
        disk.unmount()
        store.rmdir()
        aside.rename(store)
        world.nats.start_one(number)


class NatsFullLog(msgspec.Struct, forbid_unknown_fields=True):
    """The stores of all servers have come to what they may have (`max_file`), while their disks have room.

    Streams lose their quorum then: each server leads none any more, one after the other. So there are no
    copies to wait for when it is healed; the servers are started again with more, as they stand.
    """

    refused_within_s: float = 0.0  # as that of `nats-kill`

    async def inject(self, world: World, chance: random.Random) -> str:  # noqa: ARG002 - all of them
        for number in range(SERVERS):
            await await_copies(world)
            stored = await asyncio.to_thread(stored_bytes, world.nats.monitors[number])
            if stored is None:
                raise Unavailable(f"nats-server {number} does not say how much it has stored")
            await self._restart(world, number, stored + _LEFT_BYTES)
        await await_copies(world)
        await make_warm(world)
        filled = await fill(world)
        await see_refusals(world, self.refused_within_s)
        return f"after {filled} large events"

    async def heal(self, world: World) -> None:
        for number in range(SERVERS):
            await self._restart(world, number, None)
            monitor = world.nats.monitors[number]
            await until(partial(self._answers, monitor), _BACK_S, f"nats-server {number} to come back")
        await await_copies(world)

    @staticmethod
    def _answers(monitor: int) -> bool:
        return stored_bytes(monitor) is not None

    async def _restart(self, world: World, number: int, store_bytes_max: int | None) -> None:
        world.nats.store_bytes_max[number] = store_bytes_max
        await asyncio.to_thread(world.nats.kill, number)
        world.nats.start_one(number)


FAULTS: Final[Mapping[str, type[Fault]]] = {
    "nats-slow-disk": NatsSlowDisk,
    "nats-full-disk": NatsFullDisk,
    "nats-full-log": NatsFullLog,
}
