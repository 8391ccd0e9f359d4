"""What goes wrong in a history: drawn once, done in its time, and mended at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from tests.simulation.chance import Chance
from tests.simulation.cluster import Shard
from tests.simulation.loop import Process
from tests.simulation.world import World

_T = TypeVar("_T")
_SHORT_S: Final = (0.05, 1.5)  # nobody takes it for death
_LONG_S: Final = (5.0, 14.0)  # the router gives a shard up after about seven seconds
_STEPS_MAX: Final = 400
_SLOW_APPEND_S: Final = (0.05, 1.2)
_SLOW_THREAD_S: Final = (0.05, 1.0)


class Nemesis:
    """Does harm."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = Chance(world.seed, "nemesis")
        self._harms: Sequence[tuple[Callable[[], None], float]] = (
            (self._kill_shard, 4.0),
            (self._pause_shard, 2.0),
            (self._make_zombie, 3.0),
            (self._kill_door, 2.0),
            (self._pause_door, 1.0),
            (self._kill_router, 1.0),
            (self._pause_router, 0.5),
            (self._replace_router, 1.0),
            (self._world.scale, 3.0),
            (self._kill_everything, 0.7),
            (self._break_connection, 2.5),
            (self._block_connection, 2.0),
            (self._lose_messages, 2.5),
            (self._take_server_down, 1.5),
            (self._lose_leader, 2.0),
            (self._lose_node, 5.0),
            (self._lose_consumers, 1.0),
            (self._lose_acks, 2.5),
            (self._refuse_writes, 1.0),
            (self._slow_disk, 1.0),
            (self._fill_disk, 0.7),
            (self._damage_snapshot, 1.0),
            (self._repeat_block, 1.5),
            (self._step_clock, 1.0),
            (self._cut_calls, 1.5),
            (self._read_stale, 0.7),
            (self._hide_code, 0.7),
        )

    async def work(self, harms: int, seconds: float) -> None:
        """Do so much harm in so much time."""
        moments = sorted(self._chance.seconds(0.0, seconds) for _ in range(harms))
        began_s = self._world.loop.time()
        for moment in moments:
            await asyncio.sleep(max(0.0, began_s + moment - self._world.loop.time()))
            self._chance.one_of(self._harms)()
        await asyncio.sleep(max(0.0, began_s + seconds - self._world.loop.time()))

    def mend(self) -> None:
        """End all harm that lasts."""
        world = self._world
        world.note("nemesis", "mends")
        world.disk.full = world.codes.away = False
        world.server.refuses = False
        world.server.acks_to_lose = 0
        world.server.stale_reads = 0.0
        world.server.append_s = (0.0003, 0.004)
        world.cluster.cut.clear()
        world.cluster.kills_miss = False
        if not world.server.up:
            world.server.come_up()
        for stream in world.server.streams.values():
            if not stream.has_leader:
                world.server.elect(stream)
        for process in self._processes():
            process.fuse = 0
            if process.paused:
                process.resume()
        self._later(_SHORT_S, world.end_old_routers)
        for client in world.clients():
            client.deaf_to = 0
            client.unblock()

    def _processes(self) -> list[Process]:
        world = self._world
        found = [part.process for part in (*world.living_shards(), *world.living_doors())]
        routers = [world.router] if world.router is not None else []
        return found + [router for router in (*routers, *world.old_routers) if router.lives]

    def _one(self, things: Sequence[_T]) -> _T | None:
        return self._chance.choice(things) if things else None

    def _later(self, seconds: tuple[float, float], work: Callable[..., None], *given: object) -> None:
        self._world.loop.call_later(self._chance.seconds(*seconds), work, *given)

    def _note(self, what: str, **facts: object) -> None:
        self._world.note("nemesis", what, **facts)

    def _shard(self) -> Shard | None:
        """Choose one of the shards that nobody believes dead."""
        return self._one([one for one in self._world.cluster.shards.values() if one.process.lives])

    # Processes.

    def _kill_shard(self) -> None:
        """Kill a shard now, or before some step of it that is not far away."""
        shard = self._shard()
        if shard is None:
            return
        if self._chance.happens(0.5):
            self._world.end_shard(shard)
        else:
            steps = self._chance.randint(1, _STEPS_MAX)
            self._note("lights", who=shard.name, steps=steps)
            self._world.loop.light(shard.process, steps)

    def _pause_shard(self) -> None:
        shard = self._shard()
        if shard is not None:
            self._pause(shard.process, _SHORT_S)

    def _make_zombie(self) -> None:
        """Stop a shard for so long that it gets a successor; the one who replaces it may not reach it."""
        shard = self._shard()
        if shard is not None:
            self._world.cluster.kills_miss = self._chance.happens(0.7)
            self._pause(shard.process, _LONG_S)

    def _kill_door(self) -> None:
        door = self._one(self._world.living_doors())
        if door is None:
            return
        if self._chance.happens(0.5):
            self._world.kill_door(door)
        else:
            self._world.loop.light(door.process, self._chance.randint(1, _STEPS_MAX))

    def _pause_door(self) -> None:
        door = self._one(self._world.living_doors())
        if door is not None:
            self._pause(door.process, self._chance.choice((_SHORT_S, _LONG_S)))

    def _kill_router(self) -> None:
        router = self._world.router
        if router is None or not router.lives:
            return
        if self._chance.happens(0.5):
            self._world.kill_router()
        else:
            self._world.loop.light(router, self._chance.randint(1, _STEPS_MAX))

    def _pause_router(self) -> None:
        router = self._world.router
        if router is not None and router.lives:
            self._pause(router, _SHORT_S)

    def _replace_router(self) -> None:
        """Cut off the router's machine: another router begins, shards die, and the first one comes back."""
        router = self._world.router
        if router is None or not router.lives or router.paused:
            return
        self._pause(router, _LONG_S)
        self._world.loop.create_task(self._world.replace_router())
        for _ in range(self._chance.randint(0, 3)):
            self._later(_LONG_S, self._kill_shard)
            self._later(_SHORT_S, self._kill_shard)

    def _kill_everything(self) -> None:
        self._world.kill_everything()

    def _pause(self, process: Process, seconds: tuple[float, float]) -> None:
        if process.paused:
            return
        self._note("pauses", who=process.name)
        process.pause()
        self._later(seconds, self._resume, process)

    def _resume(self, process: Process) -> None:
        if process.lives and process.paused:
            self._note("resumes", who=process.name)
            process.resume()

    # The way to the server.

    def _break_connection(self) -> None:
        client = self._one(self._world.clients())
        if client is not None:
            self._note("breaks", who=client.process.name)
            client.drop()

    def _block_connection(self) -> None:
        """Hold up both ways or one; in the end the connection goes on, or breaks."""
        client = self._one([one for one in self._world.clients() if one.is_connected])
        if client is None:
            return
        up, down = self._chance.choice(((True, True), (True, False), (False, True)))
        self._note("blocks", who=client.process.name, up=up, down=down)
        client.block(up=up, down=down)
        end = client.drop if self._chance.happens(0.5) else client.unblock
        self._later(self._chance.choice((_SHORT_S, _LONG_S)), end)

    def _lose_messages(self) -> None:
        client = self._one(self._world.clients())
        if client is not None:
            client.deaf_to = self._chance.randint(1, 6)
            self._note("loses", who=client.process.name, messages=client.deaf_to)

    def _cut_calls(self) -> None:
        """Have calls to and from some processes get lost."""
        process = self._one(self._processes())
        if process is None:
            return
        names = {process.name}
        names |= {shard.name for shard in self._world.living_shards() if shard.process is process}
        self._note("cuts", who=sorted(names))
        self._world.cluster.cut |= names
        self._later(
            self._chance.choice((_SHORT_S, _LONG_S)), self._world.cluster.cut.difference_update, names
        )

    # The server.

    def _take_server_down(self) -> None:
        server = self._world.server
        if server.up:
            self._note("takes the server down")
            server.go_down()
            self._later((0.1, 4.0), self._bring_server_up)

    def _bring_server_up(self) -> None:
        if not self._world.server.up:
            self._note("brings the server up")
            self._world.server.come_up()

    def _lose_leader(self) -> None:
        """Lose the leader of a stream, and maybe the majority that could choose another."""
        server = self._world.server
        name = self._chance.choice(sorted(server.streams))
        stream = server.streams[name]
        if not stream.has_leader:
            return
        self._note("loses the leader", stream=name)
        server.lose_leader(stream)
        self._later(self._chance.choice((_SHORT_S, _LONG_S)), self._elect, name)

    def _lose_node(self) -> None:
        """Have the leaders of some streams be lost, and soon what else was on their machine."""
        server = self._world.server
        led = [name for name in sorted(server.streams) if server.streams[name].has_leader]
        for name in self._chance.sample(led, (len(led) + 1) // 2):
            self._note("loses the leader", stream=name)
            server.lose_leader(server.streams[name])
            self._later((0.3, 3.0), self._elect, name)
        for harm, share in ((self._kill_shard, 0.9), (self._kill_door, 0.5)):
            if self._chance.happens(share):
                self._later(_SHORT_S, harm)

    def _elect(self, name: str) -> None:
        server = self._world.server
        if server.up and not server.streams[name].has_leader:
            self._note("elects", stream=name)
            server.elect(server.streams[name])

    def _lose_consumers(self) -> None:
        server = self._world.server
        name = self._chance.choice(sorted(server.streams))
        self._note("loses consumers", stream=name)
        server.lose_consumers(server.streams[name])

    def _lose_acks(self) -> None:
        self._world.server.acks_to_lose = self._chance.randint(1, 4)
        self._note("loses acks", count=self._world.server.acks_to_lose)

    def _refuse_writes(self) -> None:
        self._note("fills the log's disk")
        self._world.server.refuses = True
        self._later((0.1, 12.0), self._let_write)

    def _let_write(self) -> None:
        self._world.server.refuses = False

    def _slow_disk(self) -> None:
        self._note("slows the disks")
        self._world.server.append_s = _SLOW_APPEND_S
        for process in self._processes():
            process.thread_s = _SLOW_THREAD_S
        self._later((0.5, 6.0), self._speed_disk_up)

    def _speed_disk_up(self) -> None:
        self._world.server.append_s = (0.0003, 0.004)
        for process in self._processes():
            process.thread_s = (0.0002, 0.004)

    def _repeat_block(self) -> None:
        """Store a block again that came long ago."""
        server = self._world.server
        stream = server.streams[self._chance.choice(sorted(server.streams))]
        if stream.last >= stream.first and stream.has_leader and server.up:
            sequence = self._chance.randint(stream.first, stream.last)
            self._note("repeats", stream=stream.name, sequence=sequence)
            server.repeat(stream, sequence)

    def _hide_code(self) -> None:
        self._note("takes the store of code away")
        self._world.codes.away = True
        self._later((0.1, 5.0), self._show_code)

    def _show_code(self) -> None:
        self._world.codes.away = False

    def _read_stale(self) -> None:
        self._note("makes reads of buckets stale")
        self._world.server.stale_reads = 0.5

    # Disks and clocks.

    def _fill_disk(self) -> None:
        self._note("fills the disk of snapshots")
        self._world.disk.full = True
        self._later((0.1, 5.0), self._empty_disk)

    def _empty_disk(self) -> None:
        self._world.disk.full = False

    def _damage_snapshot(self) -> None:
        if self._world.disk.damage():
            self._note("damages a snapshot")

    def _step_clock(self) -> None:
        process = self._one(self._processes())
        if process is not None:
            by_us = self._chance.randint(-5_000_000, 5_000_000)
            self._note("sets a clock", who=process.name, by_us=by_us)
            self._world.skews_us[process.name] += by_us
