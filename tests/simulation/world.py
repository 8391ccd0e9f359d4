"""One Flux in one process: server, disk, router, shards and doors, made and made again as they die."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any, Final, NamedTuple

import nats.errors

from flux_actors.behaviour.deployer import CATALOGUE_BUCKET, Deployer
from flux_actors.behaviour.equipment import Equipment
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.log.bus import NatsBus
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.router.registering import register_log
from flux_actors.router.router import Router
from flux_actors.router.shard_host import ShardGone
from flux_actors.router.topology import TOPOLOGY_BUCKET, TOPOLOGY_KEY, decode_topology
from flux_actors.shard.cold import MemoryColdStore
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.shard.memory import Memory
from flux_actors.shard.retention import FOR_EVER, Retention
from flux_actors.surroundings import Surroundings
from tests.simulation.acting import SimulatedWorkers, codes, reducers, requests
from tests.simulation.chance import Chance
from tests.simulation.cluster import Cluster, Shard, SimulatedCalls, SimulatedShards
from tests.simulation.connection import SimulatedKeyValue, SimulatedNats
from tests.simulation.disk import Disk
from tests.simulation.door import Door
from tests.simulation.ledger import Ledger
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.server import Server

BEGAN_US: Final = 1_800_000_000_000_000  # 2027: when every history begins
_ROUTER_RETRY_S: Final = 1.0
_TOPOLOGY_S: Final = 0.05
_RESTART_S: Final = (0.1, 1.0)
_SKEW_US: Final = 2_000_000
_LOOK_S: Final = (0.0, 0.0005)  # that a look at the steady clock takes


class Plan(NamedTuple):
    """What a Flux is made of."""

    partitions: int
    shards: int
    doors: int
    replicas: int
    acts: bool  # whether entities have behaviours
    memory_bytes: int | None
    retention: Retention

    @classmethod
    def drawn(cls, chance: Chance) -> Plan:
        """Draw one."""
        partitions = chance.randint(1, 3)
        return cls(
            partitions,
            chance.randint(1, 2),
            chance.randint(1, 2),
            chance.choice((1, 3)),
            chance.happens(0.3),
            3_000 if chance.happens(0.2) else None,
            Retention(bytes_max=1_500) if chance.happens(0.2) else FOR_EVER,
        )


class Noted(NamedTuple):
    """Something that happened."""

    at_s: float
    who: str
    what: str
    facts: dict[str, Any]


class World:
    """All parts of one history, and what happens to them."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.seed = seed
        self.plan = plan
        self.loop = SimulatedLoop(seed)  # type: ignore[abstract] # as far as Flux uses a loop
        self.loop.on_fuse = self._on_fuse  # type: ignore[method-assign]
        self.network = Network(self.loop, seed)
        self.server = Server(self.loop, seed, plan.partitions, replicas=plan.replicas)
        self.disk = Disk(seed)
        self.cluster = Cluster(self.network, self._make_shard)
        self.cluster.ends = self.end_shard
        self.rule = Partitioning(plan.partitions, frozenset({"wide"}))
        self.codes = codes()
        self.ledger = Ledger()
        self.notes: list[Noted] = []
        self.doors: list[Door] = []
        self.router: Process | None = None
        self.routing: Router | None = None  # what the newest router has in it, once it is open
        self.old_routers: list[Process] = []  # that were replaced, and may not know it
        self.all_shards: list[Shard] = []
        self.skews_us: dict[str, int] = {}
        self._chance = Chance(seed, "world")
        self._numbers = itertools.count(1)
        self._inboxes = itertools.count(1)
        self._router_clients: list[SimulatedNats] = []

    def note(self, who: str, what: str, /, **facts: Any) -> None:
        """Keep what happened."""
        self.notes.append(Noted(self.loop.time(), who, what, facts))

    def living_doors(self) -> list[Door]:
        """Return the doors that can be reached."""
        return [door for door in self.doors if door.process.lives]

    def living_shards(self) -> list[Shard]:
        """Return the shards that are there, known to be or not."""
        return [shard for shard in self.all_shards if shard.process.lives]

    def clients(self) -> list[SimulatedNats]:
        """Return the living connections to the server."""
        found = [door.client for door in self.living_doors()]
        found += [shard.client for shard in self.living_shards()]
        return found + [client for client in self._router_clients if client.process.lives]

    # The parts begin.

    async def begin(self) -> None:
        """Start everything, and return when it serves."""
        await self.start_router()
        while not self.server.bucket(TOPOLOGY_BUCKET).versions(TOPOLOGY_KEY):  # noqa: ASYNC110
            await asyncio.sleep(_TOPOLOGY_S)
        if self.plan.acts:
            await self._deploy()
        for _ in range(self.plan.doors):
            await self.open_door()

    async def start_router(self) -> None:
        """Start a router in a process of its own."""
        process = self.router = self._process("router")
        self.routing = None
        client = self._client(process)
        self._router_clients.append(client)
        process.start(self._route(process, client))

    def scale(self) -> None:
        """Have the router spread the partitions over another number of shards."""
        router, routing = self.router, self.routing
        if router is not None and routing is not None and not router.stands_still:
            shards = self._chance.randint(1, self.plan.partitions)
            self.note("operator", "wants", shards=shards)
            router.context.run(routing.scale, shards)

    async def open_door(self) -> None:
        """Start a door."""
        process = self._process("door")
        client = self._client(process)
        store = SimulatedKeyValue(client, self.server, TOPOLOGY_BUCKET)
        process.start(self._open_door(process, client, store))

    def kill_door(self, door: Door) -> None:
        """Kill a door; another one begins in its place."""
        door.end()
        self.doors.remove(door)
        self.note(door.process.name, "dies")
        self.loop.call_later(self._chance.seconds(*_RESTART_S), self._later, self.open_door)

    def kill_router(self) -> None:
        """Kill the router; Ray starts it again."""
        if self.router is None or not self.router.lives:
            return
        self._end_router(self.router)
        self.loop.call_later(self._chance.seconds(*_RESTART_S), self._later, self.start_router)

    async def replace_router(self) -> None:
        """Start another router beside one that cannot be reached, and does not know it."""
        if self.router is not None and self.router.lives:
            self.old_routers.append(self.router)
        await self.start_router()

    def end_shard(self, shard: Shard) -> None:
        """Kill a shard; the router will see it."""
        if shard.process.lives:
            self.note(shard.name, "dies")
            shard.end()

    def kill_everything(self) -> None:
        """Pull the plug: all processes die at once, and the server with them."""
        self.note("everything", "dies")
        for shard in self.living_shards():
            self.end_shard(shard)
        for door in self.living_doors():
            self.kill_door(door)
        self.kill_router()
        self.server.go_down()
        self.loop.call_later(self._chance.seconds(*_RESTART_S), self.server.come_up)

    def end_old_routers(self) -> None:
        """Have Ray end the routers that it has replaced."""
        for router in self.old_routers:
            self._end_router(router)
        self.old_routers.clear()

    def _end_router(self, router: Process) -> None:
        router.kill()
        self.note(router.name, "dies")
        for client in self._router_clients:
            if client.process is router:
                client.end()

    def _later(self, begin: Any) -> None:
        self.loop.create_task(begin())

    def _on_fuse(self, process: Process) -> None:
        for shard in self.living_shards():
            if shard.process is process:
                self.end_shard(shard)
        for door in self.living_doors():
            if door.process is process:
                self.kill_door(door)
        if process is self.router:
            self.kill_router()

    def _process(self, kind: str) -> Process:
        number = next(self._numbers)
        process = Process(self.loop, f"{kind}-{number}")
        self.skews_us[process.name] = self._chance.randint(-_SKEW_US, _SKEW_US)
        self.note(process.name, "begins")
        return process

    def _client(self, process: Process) -> SimulatedNats:
        return SimulatedNats(process, self.network, self.server, self._inboxes)

    def surroundings(self, process: Process) -> Surroundings:
        """Return the clocks and the chance of a process."""
        chance = Chance(self.seed, process.name)
        spent = [0.0]

        def steady_s() -> float:
            spent[0] += chance.seconds(*_LOOK_S)
            return self.loop.time() + spent[0]

        def now_us() -> int:
            return BEGAN_US + int(self.loop.time() * 1_000_000) + self.skews_us[process.name]

        return Surroundings(
            now_us, steady_s, lambda: chance.getrandbits(63), lambda: f"{chance.getrandbits(128):036x}"
        )

    def _make_shard(self, name: str) -> Shard:
        process = self._process("shard")
        client = self._client(process)
        log, bus = JetStreamLog(client), NatsBus(client)  # type: ignore[arg-type] # as far as they use it
        plan = self.plan
        memory = None if plan.memory_bytes is None else Memory(plan.memory_bytes, MemoryColdStore)
        shard = EntityShard(
            log, self.disk.store(), bus, plan.partitions, memory=memory, retention=plan.retention
        )
        shard.surroundings = surroundings = self.surroundings(process)
        if plan.acts:
            workers = SimulatedWorkers(self.loop, self.seed, process.name)
            shard.equipment = Equipment(
                log,
                self.rule,
                self.codes,
                reducers(),
                workers,
                _nobody_escalates,
                surroundings.now_us,
                surroundings.identity,
            )
        made = Shard(self.network, process, name, client, shard)
        self.all_shards.append(made)
        self.note(process.name, "is", shard=name)
        return made

    async def _route(self, process: Process, client: SimulatedNats) -> None:
        """Do what the router's process does."""
        topology = SimulatedKeyValue(client, self.server, TOPOLOGY_BUCKET)
        registry_store = SimulatedKeyValue(client, self.server, "registry")
        shards = SimulatedShards(self.cluster, process)
        router: Router | None = None
        while router is None:
            try:
                registry = await register_log(
                    registry_store, "log", self.plan.partitions, frozenset({"wide"})
                )
                opening = Router(topology, shards, registry, self.plan.shards)  # type: ignore[arg-type] # as far as it asks
                await opening.open()
                router = self.routing = opening
            except (Unavailable, ShardGone, TimeoutError) as error:
                self.note(process.name, "waits", reason=str(error) or type(error).__name__)
                await asyncio.sleep(_ROUTER_RETRY_S)
        await router.watch()

    async def _open_door(self, process: Process, client: SimulatedNats, store: SimulatedKeyValue) -> None:
        """Do what a door's process does before it serves."""
        try:
            while (stored := await store.get(TOPOLOGY_KEY)) is None:  # noqa: ASYNC110
                await asyncio.sleep(_TOPOLOGY_S)
            calls = SimulatedCalls(self.cluster, process, store, decode_topology(stored.value))
            door = Door(self.network, process, client, self.rule, calls, self.surroundings(process))
            await door.open()
        except (Unavailable, nats.errors.Error) as error:  # Serve starts another replica
            self.note(process.name, "does not open", reason=str(error) or type(error).__name__)
            client.end()
            self.loop.call_later(self._chance.seconds(*_RESTART_S), self._later, self.open_door)
            return
        self.doors.append(door)
        self.note(process.name, "serves")

    async def _deploy(self) -> None:
        """Have entities act from here on."""
        process = self._process("deployer")
        client = self._client(process)
        around = self.surroundings(process)
        store = SimulatedKeyValue(client, self.server, CATALOGUE_BUCKET)
        log = JetStreamLog(client)  # type: ignore[arg-type]
        deployer = Deployer(store, self.codes, log, self.plan.partitions, around.now_us, around.identity)
        for request in requests():
            await process.start(deployer.change(partial(_deployed, request, around)))


def _deployed(request: Any, around: Surroundings, catalogue: Any) -> Any:
    return request.change(around.now_us())(catalogue)


async def _nobody_escalates(name: str, number: int) -> None:
    raise AssertionError(f"version {number} of {name} was to be stopped")
