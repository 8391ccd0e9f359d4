"""Shards as Ray actors."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from flux_actors.behaviour.roster import ActorRow
from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.router.names import RAY_NAMESPACE
from flux_actors.router.nodes import node_for
from flux_actors.router.shard_host import ShardGone
from flux_actors.shard.actor import RemoteShard
from flux_actors.shard.operating import decode_actors
from flux_actors.shard.partition import PartitionStatus
from flux_actors.shard.plan import ShardPlan
from flux_actors.shard.reads import decode_namespaces, decode_readings

_START_S: Final = 30.0
_CALL_S: Final = 5.0
_HAND_OVER_S: Final = 10.0
_ACTORS_S: Final = 20.0
_DRAIN_S: Final = 60.0
# Ray has the router's own node find a place for an actor that asks for something, if only a byte. For one
# that asks for nothing any node is to find it, and one that was lost is among them for twelve seconds.
_LEAST_BYTES: Final = 1


class RayShards:
    """A `ShardHost` whose shards are named, detached Ray actors."""

    def __init__(self, access: NatsAccess, plan: ShardPlan) -> None:
        self._access = access
        self._plan = plan
        self._handles: dict[str, Any] = {}
        self._nodes: dict[str, str] = {}

    async def start(self, name: str, instead_of: str = "") -> None:
        """Create the actor on a node with few shards, and have it connect."""
        try:
            here = await self._create(name, instead_of)
        except (RayError, RuntimeError, OSError) as error:
            raise Unavailable(f"Ray could not start shard {name} ({error})") from error
        self._nodes.pop(instead_of, None)
        if here is not None:
            self._nodes[name] = here  # so that one which starts at the same time goes elsewhere
        self._nodes[name] = await self._call(name, "open", _START_S, self._access, self._plan)

    async def names(self) -> list[str]:
        """Return the named actors of our Ray namespace."""
        known = await asyncio.to_thread(ray.util.list_named_actors, all_namespaces=True)
        return sorted(actor["name"] for actor in known if actor["namespace"] == RAY_NAMESPACE)

    def nodes(self) -> dict[str, str]:
        """Return the Ray node of each shard, as far as it is known."""
        return dict(self._nodes)

    async def adopt(self, name: str, partitions: list[int], epoch: int) -> None:
        """Have the shard host partitions."""
        for partition in partitions:
            await self._call(name, "adopt", _CALL_S, partition, epoch)

    async def follow(self, name: str, partition: int, epoch: int) -> None:
        """Have the shard fold a partition beside the one that leads it."""
        await self._call(name, "follow", _CALL_S, partition, epoch)

    async def lead(self, name: str, partition: int, epoch: int, after: int) -> None:
        """Have the shard lead a partition that it follows."""
        await self._call(name, "lead", _HAND_OVER_S, partition, epoch, after)

    async def release(self, name: str, partition: int) -> int:
        """Have the shard host a partition no longer."""
        last: int = await self._call(name, "release", _HAND_OVER_S, partition)
        return last

    async def status(self, name: str, timeout_s: float) -> list[PartitionStatus]:
        """Return its partitions' status."""
        return [PartitionStatus(*row) for row in await self._call(name, "status", timeout_s)]

    async def reducing_s(self, name: str, timeout_s: float) -> float | None:
        """Return for how long users' reducers have kept the shard from answering; `None` if it is silent."""
        try:
            seconds: float = await self._call(name, "reducing_s", timeout_s)
        except (ShardGone, TimeoutError, FluxError):
            return None
        return seconds

    async def namespaces(self, name: str) -> list[tuple[str, int, int]]:
        """Return the totals of its namespaces."""
        rows = decode_namespaces(await self._call(name, "namespaces", _CALL_S))
        return [(row.namespace, row.entities, row.updated_us) for row in rows]

    async def properties(self, name: str, partition: int, entity_id: str) -> dict[str, object] | None:
        """Return the properties of one entity."""
        data = await self._call(name, "get", _CALL_S, {partition: [entity_id]})
        rows = decode_readings(data)[partition].rows
        return rows[0].properties if rows else None

    async def matching(self, name: str, partition: int, prefix: str, limit: int) -> list[str]:
        """Return ids of living entities."""
        found: list[str] = await self._call(name, "matching", _CALL_S, partition, prefix, limit)
        return found

    async def actors(self, name: str, partition: int, prefix: str, rows_max: int) -> list[ActorRow]:
        """Return rows of entities with behaviours."""
        return decode_actors(await self._call(name, "actors", _ACTORS_S, partition, prefix, rows_max))

    async def act_on(self, name: str, partition: int, verb: str, entity_id: str) -> None:
        """Kill, restart or stop the behaviour of an entity."""
        await self._call(name, "act_on", _ACTORS_S, partition, verb, entity_id)

    async def drain(self, name: str) -> None:
        """End it with snapshots."""
        await self._call(name, "drain", _DRAIN_S)

    async def kill(self, name: str) -> None:
        """End its process; a dead one stays dead."""
        try:
            ray.kill(self._handle(name), no_restart=True)
        except (ShardGone, RayError):
            return
        finally:
            self._handles.pop(name, None)

    async def _create(self, name: str, instead_of: str) -> str | None:
        nodes = await asyncio.to_thread(ray.nodes)
        living = (node for shard, node in self._nodes.items() if shard in self._handles)
        here = node_for(nodes, living, self._nodes.get(instead_of))
        actor: Any = RemoteShard.options(
            name=name,
            namespace=RAY_NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            memory=_LEAST_BYTES,
            max_restarts=0,  # the router starts the successor, with the next epoch
            get_if_exists=True,
            scheduling_strategy=here and NodeAffinitySchedulingStrategy(here, soft=True),
        ).remote()
        self._handles[name] = actor
        return here

    async def _call(self, name: str, method: str, timeout_s: float, *arguments: Any) -> Any:
        try:
            reference = getattr(self._handle(name), method).remote(*arguments)
            return await asyncio.wait_for(reference, timeout_s)
        except RayActorError as error:
            self._handles.pop(name, None)
            raise ShardGone(name) from error
        except FluxError:
            raise
        except RayError as error:
            raise Unavailable(f"shard {name} could not {method} ({type(error).__name__})") from error

    def _handle(self, name: str) -> Any:
        handle = self._handles.get(name)
        if handle is None:
            try:
                handle = self._handles[name] = ray.get_actor(name, namespace=RAY_NAMESPACE)
            except ValueError:
                raise ShardGone(name) from None
        return handle
