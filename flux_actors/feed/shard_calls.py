"""Calling shards: who owns a partition, and what a dead owner means to a client.

A partition that moves is between two shards for some milliseconds. Whoever calls meanwhile waits for the
topology to say where it is, for as long as a read may wait for it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import ray
import structlog
from ray.exceptions import RayActorError, RayError, RayTaskError

from flux_actors import limits
from flux_actors.errors import FluxError, Moved, Unavailable
from flux_actors.log.ports import KeyValue
from flux_actors.router.topology import TOPOLOGY_KEY, Topology, decode_topology

_log = structlog.get_logger(__name__)
_CALL_S: Final = 10.0
_POLL_S: Final = 0.4
_LOOK_S: Final = 0.01  # between two looks where a partition has moved to


class _Gone(Unavailable):
    """The shard that was asked is no more: it died, or ended because its last partition had moved."""


class ShardCalls(Protocol):
    """Calls a method of the shard that owns a partition."""

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:
        """Return the answer; raises `Unavailable` when the owner is away or recovering.

        A method that concerns several partitions raises `Moved` at once when another one is elsewhere now.
        """
        ...

    def owner(self, partition: int) -> str:
        """Return a name that partitions of the same shard share."""
        ...


class RayShardCalls:
    """`ShardCalls` through Ray, by the topology in the key-value store."""

    def __init__(self, store: KeyValue, topology: Topology, ray_namespace: str) -> None:
        self._store = store
        self._topology = topology
        self._ray_namespace = ray_namespace
        self._handles: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def topology(self) -> Topology:
        """The topology as last read."""
        return self._topology

    def start(self) -> None:
        """Begin to follow the topology."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Follow no longer."""
        if self._task is not None:
            self._task.cancel()

    def owner(self, partition: int) -> str:
        """Return the owning actor's name."""
        owner = self._topology.owners[partition]
        return owner.shard if owner else ""

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:
        """Call the owner of `partition`, or wherever it moves meanwhile."""
        clock = asyncio.get_running_loop().time
        until_s = clock() + limits.moving_wait_s
        while True:
            name = self.owner(partition)
            try:
                return await self._call(partition, name, method, *arguments)
            except Moved as moved:
                if moved.partition != partition or clock() >= until_s:
                    raise
                await self._look()
                if self.owner(partition) == name:
                    await asyncio.sleep(_LOOK_S)
            except _Gone:
                await self._look()
                if self.owner(partition) == name or clock() >= until_s:
                    raise

    async def _call(self, partition: int, name: str, method: str, *arguments: Any) -> Any:
        try:
            reference = getattr(self._handle(name), method).remote(*arguments)
            return await asyncio.wait_for(reference, _CALL_S)
        except TimeoutError:
            raise Unavailable(f"partition {partition} does not answer; try again in a second") from None
        except RayTaskError as error:
            if isinstance(error.cause, FluxError):
                raise error.cause from None
            _log.error("shard.call_failed", shard=name, method=method, error=repr(error.cause))
            raise Unavailable(f"partition {partition} could not answer; try again in a second") from error
        except (RayActorError, ValueError):
            self._handles.pop(name, None)
            raise _Gone(f"partition {partition} is being restarted; try again in a second") from None
        except RayError as error:
            _log.error("shard.call_lost", shard=name, method=method, error=type(error).__name__)
            raise Unavailable(f"partition {partition} could not be asked; try again in a second") from error

    def _handle(self, name: str) -> Any:
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = ray.get_actor(name, namespace=self._ray_namespace)
        return handle

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            await self._look()

    async def _look(self) -> None:
        """Read the topology, once for all who want to know."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._read())
        await asyncio.shield(self._looking)

    async def _read(self) -> None:
        try:
            stored = await self._store.get(TOPOLOGY_KEY)
        except FluxError as error:
            _log.warning("topology.unread", reason=error.message)
            return
        topology = self._topology if stored is None else decode_topology(stored.value)
        if topology.registry == self._topology.registry:  # else partitions of the same number are others
            self._topology = topology
