"""What the router does, on any shards and any store: place partitions, keep their shards alive."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.ports import KeyValue, Versioned
from flux_actors.router.shard_host import ShardGone, ShardHost
from flux_actors.router.topology import (
    HISTORY_KEY,
    LOG_KEY,
    PARTITIONS_DEFAULT,
    RESTORING_KEY,
    TOPOLOGY_KEY,
    LogRegistry,
    Topology,
    decode_registry,
    decode_topology,
    encode,
    place,
)
from flux_actors.shard.partition import PartitionStatus

_log = structlog.get_logger(__name__)
_STATUS_S: Final = 2.0
_MISSES_MAX: Final = 3  # unanswered status calls before a shard counts as dead
_WATCH_S: Final = 0.25


async def register_log(
    store: KeyValue, new_id: str, partitions: int | None, spread: frozenset[str]
) -> LogRegistry:
    """Return the registry of the log, made on the first start.

    Raises:
        Refused: settings ask for another number of partitions than the log has, or it is not whole.
    """
    if await store.get(RESTORING_KEY) is not None:
        raise Refused("a restore of this log was not finished; begin it again with `flux restore`")
    known = await store.get(LOG_KEY)
    if known is None:
        registry = LogRegistry(new_id, partitions or PARTITIONS_DEFAULT, sorted(spread))
        await store.put(LOG_KEY, encode(registry), expected=0)
        return registry
    registry = decode_registry(known.value)
    if partitions not in {None, registry.partitions}:
        raise Refused(
            f"this log has {registry.partitions} partitions and cannot be given {partitions}; "
            "leave --partitions out, or start with another --data folder"
        )
    return registry


async def note_history(store: KeyValue, positions: int, *, log_is_new: bool) -> None:
    """Keep the lowest number of positions per entity that shards of this log were ever told to keep.

    An entity of which fewer positions are known has all of them. Of a log that is older than this note,
    nobody knows: it counts as one of which none were kept.
    """
    known = await store.get(HISTORY_KEY)
    before = positions if log_is_new else int(known.value) if known is not None else 0
    lowest = min(before, positions)
    if known is None or int(known.value) != lowest:
        await store.put(HISTORY_KEY, b"%d" % lowest)


async def fewest_positions(store: KeyValue, positions: int) -> int:
    """Return that number; `positions` is what shards are told now."""
    known = await store.get(HISTORY_KEY)
    return min(positions, int(known.value) if known is not None else 0)


class Router:
    """Places partitions on shards and replaces shards that die."""

    def __init__(self, store: KeyValue, host: ShardHost, registry: LogRegistry, shards: int) -> None:
        self._store = store
        self._host = host
        self._shards = min(shards, registry.partitions)
        self._misses: dict[int, int] = {}
        self.registry = registry
        self.topology = Topology(registry, [None] * registry.partitions)
        self.status: dict[str, list[PartitionStatus]] = {}
        self.closing = False
        self._revision = 0
        self._unwritten = False

    async def open(self) -> None:
        """Take over what lives, start what does not."""
        known = await self._store.get(TOPOLOGY_KEY)
        if known is not None:
            self._adopt(known)
        groups = place(self.registry.partitions, self._shards)
        await asyncio.gather(*(self._take_or_start(partitions) for partitions in groups))
        await self._write_or_follow()

    async def watch(self) -> None:
        """Look after the shards until `closing`."""
        while not self.closing:
            groups = place(self.registry.partitions, self._shards)
            await asyncio.gather(*(self._look(number, group) for number, group in enumerate(groups)))
            if self._unwritten:
                await self._write_when_possible()
            await asyncio.sleep(_WATCH_S)

    async def drain(self) -> None:
        """End all shards with snapshots."""
        self.closing = True
        names = sorted({owner.shard for owner in self.topology.owners if owner})
        await asyncio.gather(*(self._drain_one(name) for name in names))

    def shard_names(self) -> list[str]:
        """Return the shards that own partitions."""
        return sorted({owner.shard for owner in self.topology.owners if owner})

    async def _take_or_start(self, partitions: list[int]) -> None:
        owners = {owner.shard for p in partitions if (owner := self.topology.owners[p])}
        name = owners.pop() if len(owners) == 1 else None
        if name is not None and await self._host.lives(name):
            epoch = max(self.topology.epoch(p) for p in partitions)
            await self._host.start(name)
            await self._host.adopt(name, partitions, epoch)
            return
        for gone in owners | ({name} if name is not None else set()):
            await self._host.kill(gone)  # one that does not answer may still be there, and write snapshots
        await self._start(partitions)

    async def _start(self, partitions: list[int]) -> None:
        epoch = 1 + max(self.topology.epoch(p) for p in partitions)
        name = f"flux-shard-{partitions[0]}-e{epoch}"
        await self._host.start(name)
        await self._host.adopt(name, partitions, epoch)
        self.topology = self.topology.with_owner(partitions, name, epoch)
        _log.info("shard.started", shard=name, partitions=partitions, epoch=epoch)

    async def _look(self, number: int, partitions: list[int]) -> None:
        owner = self.topology.owners[partitions[0]]
        if owner is None:
            await self._replace(number, "", partitions)
            return
        try:
            self.status[owner.shard] = await self._host.status(owner.shard, _STATUS_S)
            self._misses[number] = 0
            return
        except ShardGone:
            _log.warning("shard.gone", shard=owner.shard)
        except (TimeoutError, Unavailable):
            if 0.0 < await self._host.reducing_s(owner.shard) < limits.reduce_patience_s:
                _log.warning("shard.reducing", shard=owner.shard)
                return  # its successor would come to the same events
            self._misses[number] = self._misses.get(number, 0) + 1
            if self._misses[number] < _MISSES_MAX:
                return
            _log.warning("shard.silent", shard=owner.shard)
        await self._replace(number, owner.shard, partitions)

    async def _replace(self, number: int, name: str, partitions: list[int]) -> None:
        self.status.pop(name, None)
        try:
            await self._host.kill(name)
            await self._start(partitions)
            self._unwritten = True
            self._misses[number] = 0
        except (ShardGone, TimeoutError, Unavailable) as error:
            _log.error("shard.start_failed", shard=name, reason=str(error))

    async def _drain_one(self, name: str) -> None:
        try:
            await self._host.drain(name)
        except (ShardGone, TimeoutError, Unavailable) as error:
            _log.warning("shard.not_drained", shard=name, reason=type(error).__name__)

    async def _write_when_possible(self) -> None:
        try:
            await self._write_or_follow()
        except Unavailable as error:
            _log.warning("topology.unwritten", reason=error.message)

    async def _write_or_follow(self) -> None:
        try:
            await self._write()
        except Refused:
            _log.warning("topology.overtaken", revision=self._revision)
            known = await self._store.get(TOPOLOGY_KEY)
            if known is not None:
                self._adopt(known)  # another router has placed the partitions; go on from there

    def _adopt(self, known: Versioned) -> None:
        self.topology = decode_topology(known.value)
        self._revision = known.revision
        self._unwritten = False

    async def _write(self) -> None:
        self._revision = await self._store.put(TOPOLOGY_KEY, encode(self.topology), self._revision)
        self._unwritten = False
