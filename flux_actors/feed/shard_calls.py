"""Calling shards: who owns a partition, and what a dead owner means to a client."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import ray
import structlog
from ray.exceptions import RayActorError, RayError, RayTaskError

from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.ports import KeyValue
from flux_actors.router.topology import TOPOLOGY_KEY, Topology, decode_topology

_log = structlog.get_logger(__name__)
_CALL_S: Final = 10.0
_POLL_S: Final = 0.4


class ShardCalls(Protocol):
    """Calls a method of the shard that owns a partition."""

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:
        """Return the answer; raises `Unavailable` when the owner is away or recovering."""
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
        """Call the owner of `partition`."""
        name = self.owner(partition)
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
            raise Unavailable(f"partition {partition} is being restarted; try again in a second") from None
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
            try:
                stored = await self._store.get(TOPOLOGY_KEY)
            except FluxError as error:
                _log.warning("topology.unread", reason=error.message)
                continue
            if stored is not None:
                self._topology = decode_topology(stored.value)
