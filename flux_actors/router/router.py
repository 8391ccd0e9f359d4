"""What the router does, on any shards and any store: place partitions, keep their shards alive, move them.

A shard has a slot, which it keeps, and a name, which its successor does not get: the name holds the epoch
in which it was started. Every router looks at the shards that live before it believes the topology: one
that died while it moved a partition may have left it with a shard that the topology does not know yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.log.ports import KeyValue, Versioned
from flux_actors.router.counting import RouterCounts
from flux_actors.router.loads import Loads
from flux_actors.router.looking import Looks
from flux_actors.router.moving import Move, come_near, hand_over
from flux_actors.router.placing import housed, placed
from flux_actors.router.shard_host import ShardGone, ShardHost
from flux_actors.router.shard_names import epoch_of, is_shard, shard_name, slot_of
from flux_actors.router.topology import TOPOLOGY_KEY, LogRegistry, Topology, decode_topology, encode
from flux_actors.shard.partition import PartitionStatus, Phase

_log = structlog.get_logger(__name__)
_OPEN_STATUS_S: Final = 5.0
_WATCH_S: Final = 0.25  # from one look to the next; one that had no answer has taken longer
_FRESH_S: Final = 60.0  # the topology is written again then: it is not one of a cluster that is gone
_AGAIN_S: Final = 1.0  # before a move that failed is tried again


class Router:
    """Places partitions on shards, replaces shards that die, and moves partitions when shards come and go."""

    def __init__(self, store: KeyValue, host: ShardHost, registry: LogRegistry, shards: int) -> None:
        self._store = store
        self._host = host
        self._names: dict[int, str] = {}  # of the shards, by their slots
        self._loads = Loads(registry.partitions)
        self._replacing = 0
        self._handing_over = asyncio.Lock()  # no shard is replaced meanwhile, and none handed over to
        self._evening: asyncio.Task[None] | None = None
        self._even_again = False
        self.registry = registry
        self.wanted = min(shards, registry.partitions)
        self.topology = Topology(registry, [None] * registry.partitions)
        self.status: dict[str, list[PartitionStatus]] = {}
        self.moving: Move | None = None
        self.moves_left = 0
        self.closing = False
        self._revision = 0
        self._epochs_before = 0  # the highest of earlier generations of the log
        self._writing = asyncio.Lock()  # else one of two writes at once would be overtaken by the other
        self._sent: list[bytes] = []  # what was written since, and may have been stored
        self._unwritten = False
        self._written_s = 0.0
        self.counts = RouterCounts()
        self._looks = Looks(host, self.counts)

    async def open(self) -> None:
        """Take over what lives, start what does not."""
        known = await self._store.get(TOPOLOGY_KEY)
        if known is not None and decode_topology(known.value).registry != self.registry:
            await self._succeed(known)
        elif known is not None:
            self._adopt(known)
        await self._take_over()
        taken = len(self._names)
        await self._settle()
        await self._write_or_follow()
        if taken and taken != self.wanted:
            self.scale(self.wanted)

    async def watch(self) -> None:
        """Look after the shards until `closing`."""
        loop = asyncio.get_running_loop()
        while not self.closing:
            next_look_s = loop.time() + _WATCH_S
            await asyncio.gather(*(self._look(slot, name) for slot, name in self._names.items()))
            if self._unwritten or loop.time() >= self._written_s + _FRESH_S:
                await self._write_when_possible()
            await asyncio.sleep(max(0.0, next_look_s - loop.time()))

    def leave(self) -> None:
        """Look after nothing any more."""
        self.closing = True
        if self._evening is not None:
            self._evening.cancel()

    async def drain(self) -> None:
        """End all shards with snapshots."""
        self.leave()
        await asyncio.gather(*(self._drain_one(name) for name in self._names.values()))

    def scale(self, shards: int) -> None:
        """Have so many shards, and partitions moved between them, one by one, until they carry alike.

        Raises:
            Refused: there are fewer partitions than that.
        """
        partitions = self.registry.partitions
        if not 1 <= shards <= partitions:
            raise Refused(f"this log has {partitions} partitions, so 1 to {partitions} shards, not {shards}")
        self.wanted = shards
        self._even_again = True
        if self._evening is None or self._evening.done():
            self._evening = asyncio.create_task(self._even())

    @property
    def unwritten(self) -> bool:
        """Whether the store does not have the topology yet."""
        return self._unwritten

    @property
    def even(self) -> bool:
        """Whether there is nothing to move for what is wanted."""
        return len(self._names) == self.wanted and (self._evening is None or self._evening.done())

    def placed(self) -> dict[str, list[int]]:
        """Return the partitions of each shard, as they are now; `status` is a moment old."""
        return {
            name: [p for p in range(self.registry.partitions) if self._owner(p) == name]
            for name in self._names.values()
        }

    def shard_names(self) -> list[str]:
        """Return the shards that own partitions."""
        return sorted({owner.shard for owner in self.topology.owners if owner})

    def leading(self) -> list[PartitionStatus]:
        """Return the last status of each partition, of the shard that leads it."""
        rows = ((name, row) for name, rows in self.status.items() for row in rows)
        return [row for name, row in rows if self._owner(row.partition) == name]

    # -- opening

    async def _succeed(self, known: Versioned) -> None:
        """End the shards of an earlier generation of the log, and tell the doors that this one is the log."""
        names = [name for name in await self._host.names() if is_shard(name)]
        await asyncio.gather(*(self._host.kill(name) for name in names))
        owners = [owner for owner in decode_topology(known.value).owners if owner is not None]
        self._epochs_before = max([0, *(owner.epoch for owner in owners), *map(epoch_of, names)])
        self._revision = known.revision
        await self._write_or_follow()

    async def _take_over(self) -> None:
        """Find the shards that live and what they host; those that host nothing of ours are ended."""
        names = [name for name in await self._host.names() if is_shard(name)]
        answers = await asyncio.gather(*(self._asked(name) for name in names))
        living = {name: rows for name, rows in zip(names, answers, strict=True) if rows is not None}
        for partition in range(self.registry.partitions):
            self._believe(partition, living)
        self._names = {}
        for name in sorted(living.keys() & set(self.shard_names())):
            self._names[slot_of(name, self._names)] = name
        # One that does not answer may still be there, and write snapshots.
        await asyncio.gather(*(self._host.kill(name) for name in names if name not in self._names.values()))
        for name in self._names.values():
            await self._host.start(name)  # it has started: this makes it known here
            await self._mend(name, living[name])

    async def _asked(self, name: str) -> list[PartitionStatus] | None:
        try:
            return await self._host.status(name, _OPEN_STATUS_S)
        except (ShardGone, TimeoutError, Unavailable):
            return None

    def _believe(self, partition: int, living: Mapping[str, Iterable[PartitionStatus]]) -> None:
        """Take the shard for the owner that has led a partition in a higher epoch than the topology knows."""
        for name, rows in living.items():
            for row in rows:
                newer = row.epoch > self.topology.epoch(partition)
                if row.partition == partition and row.phase != Phase.FOLLOWING and newer:
                    self.topology = self.topology.with_owner([partition], name, row.epoch)
                    self._unwritten = True

    async def _settle(self) -> None:
        """Start the shards that are missing, and have all take the partitions of those that are gone."""
        owners = [self._slot(partition) for partition in range(self.registry.partitions)]
        free = (slot for slot in range(2 * self.registry.partitions) if slot not in self._names)
        added = [next(free) for _ in range(self.wanted - len(self._names))]
        homes = housed([1.0] * len(owners), owners, sorted([*self._names, *added]))
        homeless = {
            slot: [p for p, home in enumerate(homes) if home == slot and owners[p] is None]
            for slot in set(homes)
        }
        epoch = self._next_epoch()
        starts = (self._start(slot, homeless.get(slot, []), epoch) for slot in added)
        takes = (self._take(name, homeless.get(slot, []), epoch) for slot, name in self._names.items())
        await asyncio.gather(*starts, *takes)

    async def _start(self, slot: int, partitions: list[int], epoch: int, instead_of: str = "") -> None:
        name = shard_name(slot, epoch)
        await self._host.start(name, instead_of)
        await self._take(name, partitions, epoch)
        self._names[slot] = name
        self.counts.starts += 1
        _log.info("shard.started", shard=name, partitions=partitions, epoch=epoch)

    async def _take(self, name: str, partitions: list[int], epoch: int) -> None:
        if partitions:
            await self._host.adopt(name, partitions, epoch)
            self.topology = self.topology.with_owner(partitions, name, epoch)

    # -- looking after shards

    async def _look(self, slot: int, name: str) -> None:
        known = self.topology
        try:
            rows = await self._looks.look(name)
            if rows is None or self._names.get(slot) != name:
                return  # it was ended meanwhile
            self.status[name] = rows
            self._loads.note(rows, asyncio.get_running_loop().time())
            if self.topology is known:  # else it says what was before
                await self._mend(name, rows)
        except ShardGone:
            _log.warning("shard.gone", shard=name)
            await self._replace(slot, name)
        except (TimeoutError, FluxError) as error:
            _log.warning("shard.not_mended", shard=name, reason=str(error) or type(error).__name__)

    async def _mend(self, name: str, rows: Iterable[PartitionStatus]) -> None:
        """Have a shard lead what it owns and host nothing else, but for the partition that moves just now.

        One that was told by an earlier router to follow may have been believed to lead.
        """
        owned = {p for p in range(self.registry.partitions) if self._owner(p) == name}
        hosted = {row.partition for row in rows if row.phase != Phase.FOLLOWING or row.partition not in owned}
        for partition in (hosted ^ owned) - ({self.moving.partition} if self.moving else set()):
            if partition in owned:
                await self._host.adopt(name, [partition], self.topology.epoch(partition))
            else:
                await self._host.release(name, partition)

    async def _replace(self, slot: int, name: str) -> None:
        self.status.pop(name, None)
        async with self._handing_over:
            if self._names.get(slot) != name:
                return
            self._replacing += 1
        try:
            await self._host.kill(name)
            owned = [p for p in range(self.registry.partitions) if self._owner(p) == name]
            await self._start(slot, owned, self._next_epoch(), name)
            self._unwritten = True
            self._looks.forget(name)
        except (ShardGone, TimeoutError, FluxError) as error:
            _log.error("shard.start_failed", shard=name, reason=str(error) or type(error).__name__)
        finally:
            self._replacing -= 1

    async def _drain_one(self, name: str) -> None:
        try:
            await self._host.drain(name)
        except (ShardGone, TimeoutError, Unavailable) as error:
            _log.warning("shard.not_drained", shard=name, reason=type(error).__name__)

    # -- moving partitions

    async def _even(self) -> None:
        """Start shards, move partitions and end shards until it is as it is wanted."""
        while self._even_again and not self.closing:
            self._even_again = False
            try:
                await self._even_once()
            except (ShardGone, TimeoutError, Unavailable) as error:
                _log.warning("shards.not_even_yet", reason=str(error) or type(error).__name__)
                self._even_again = True
                await asyncio.sleep(_AGAIN_S)
            finally:
                self.moving, self.moves_left = None, 0

    async def _even_once(self) -> None:
        free = (slot for slot in range(2 * self.registry.partitions) if slot not in self._names)
        for slot in [next(free) for _ in range(self.wanted - len(self._names))]:
            await self._start(slot, [], self._next_epoch())
        kept = sorted(self._names)[: self.wanted]
        owners = [self._slot(partition) for partition in range(self.registry.partitions)]
        homes = placed(self._loads.weights(), owners, kept)
        moves = [(p, home) for p, home in enumerate(homes) if home != owners[p]]
        for number, (partition, slot) in enumerate(moves):
            self.moves_left = len(moves) - number
            await self._move(partition, slot)
        for slot in sorted(self._names)[self.wanted :]:
            await self._retire(slot)

    async def _move(self, partition: int, slot: int) -> None:
        """Have the shard of a slot take over a partition, beside the one that leads it until it lets go."""
        source, target = self._owner(partition), self._names.get(slot)
        if target is None:
            raise Unavailable("another router has placed the partitions meanwhile")
        epoch = self.topology.epoch(partition) + 1
        move = self.moving = Move(partition, source, target, epoch)
        began_s = asyncio.get_running_loop().time()
        await come_near(self._host, move)
        async with self._handing_over:
            if self._replacing or self._owner(partition) != source or self._names.get(slot) != target:
                raise Unavailable("a shard was replaced meanwhile")
            began_handing_s = asyncio.get_running_loop().time()
            await hand_over(self._host, move)
            self.topology = self.topology.with_owner([partition], target, epoch)
            self.moving = None
            self._unwritten = True
            await self._write_when_possible()
        handed_over_s = asyncio.get_running_loop().time() - began_handing_s
        self.counts.moved(handed_over_s)
        _log.info(
            "partition.moved",
            **move._asdict(),
            seconds=round(asyncio.get_running_loop().time() - began_s, 3),
            between_ms=round(handed_over_s * 1_000, 1),
        )

    async def _retire(self, slot: int) -> None:
        """End a shard that owns nothing any more."""
        name = self._names[slot]
        if any(owner is not None and owner.shard == name for owner in self.topology.owners):
            raise Unavailable(f"{name} still owns partitions")
        del self._names[slot]
        self.status.pop(name, None)
        self._looks.forget(name)
        await self._drain_one(name)  # the last snapshots of what it has released
        await self._host.kill(name)
        _log.info("shard.retired", shard=name)

    # -- the topology

    def _owner(self, partition: int) -> str:
        owner = self.topology.owners[partition]
        return owner.shard if owner else ""

    def _slot(self, partition: int) -> int | None:
        """Return the slot of a partition's owner, `None` when that does not live."""
        owner = self._owner(partition)
        return next((slot for slot, name in self._names.items() if name == owner), None)

    def _next_epoch(self) -> int:
        """Return an epoch that no partition has had, nor any shard in its name."""
        epochs = map(self.topology.epoch, range(self.registry.partitions))
        return 1 + max(*epochs, self._epochs_before, *(epoch_of(name) for name in self._names.values()))

    async def _write_when_possible(self) -> None:
        try:
            async with self._writing:
                await self._write_or_follow()
        except Unavailable as error:
            _log.warning("topology.unwritten", reason=error.message)

    async def _write_or_follow(self) -> None:
        try:
            await self._write()
        except Refused:
            _log.warning("topology.overtaken", revision=self._revision)
            known = await self._store.get(TOPOLOGY_KEY)
            if known is not None and known.value in self._sent:
                _log.warning("topology.written_after_all", revision=known.revision)
                self._revision = known.revision  # by us: the answer was lost
                self._sent = []
                self._unwritten = known.value != encode(self.topology)
            elif known is None:
                _log.warning("topology.forgotten")  # among those of clusters that were long gone
                self._revision, self._unwritten = 0, True
            else:
                self._adopt(known)  # another router has placed the partitions; go on from there
                self._names = {}
                for name in self.shard_names():
                    self._names[slot_of(name, self._names)] = name

    def _adopt(self, known: Versioned) -> None:
        self.topology = decode_topology(known.value)
        self._revision = known.revision
        self._sent = []
        self._unwritten = False

    async def _write(self) -> None:
        topology = encode(self.topology)
        self._sent.append(topology)
        self._revision = await self._store.put(TOPOLOGY_KEY, topology, self._revision)
        self._sent = []
        self._unwritten = False
        self._written_s = asyncio.get_running_loop().time()
