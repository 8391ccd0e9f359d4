"""What Flux holds of entities now, asked of the shards by the topology."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import ray
from ray.exceptions import RayError, RayTaskError

from flux_actors import limits
from flux_actors.connectors.base import Properties
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import FluxError, Moved, Unavailable
from flux_actors.log.ports import EventLog, KeyValue
from flux_actors.router.names import RAY_NAMESPACE
from flux_actors.router.topology import TOPOLOGY_KEY, decode_topology
from flux_actors.shard.reads import Readings, decode_readings

_CALL_S: Final = 5.0
_BEHIND_S: Final = 0.05
_TRIES: Final = 40


class ShardStates:
    """`States` of the shards."""

    def __init__(self, log: EventLog, topology: KeyValue, partitioning: Partitioning) -> None:
        self._log = log
        self._topology = topology
        self._partitioning = partitioning

    async def properties(self, ids: Sequence[str]) -> dict[str, Properties]:
        """Return the properties of those that exist, from shards that have applied all of the log."""
        wanted: dict[int, list[str]] = {}
        for entity_id, partition in zip(ids, self._partitioning.of_entities(ids), strict=True):
            wanted.setdefault(partition, []).append(entity_id)
        found: dict[str, Properties] = {}
        for partition, part in wanted.items():
            for begin in range(0, len(part), limits.fetch_ids_max):
                readings = await self._caught_up(partition, part[begin : begin + limits.fetch_ids_max])
                found.update({row.entity_id: row.properties or {} for row in readings.rows})
        return found

    async def _caught_up(self, partition: int, ids: list[str]) -> Readings:
        last = (await self._log.bounds(partition)).last
        for _ in range(_TRIES):
            with suppress(Moved):  # the topology will say where it is
                readings = await self._ask(partition, ids)
                if readings.sequence >= last:
                    return readings
            await asyncio.sleep(_BEHIND_S)
        raise Unavailable(f"partition {partition} is behind the log; try again in a second")

    async def _ask(self, partition: int, ids: list[str]) -> Readings:
        stored = await self._topology.get(TOPOLOGY_KEY)
        topology = decode_topology(stored.value) if stored is not None else None
        if topology is not None and topology.registry.partitioning() != self._partitioning:
            raise Unavailable("the log was repartitioned; this connector starts again")
        owner = topology.owners[partition] if topology is not None else None
        if owner is None:
            raise Unavailable(f"partition {partition} has no shard yet; try again in a second")
        try:
            shard: Any = ray.get_actor(owner.shard, namespace=RAY_NAMESPACE)
            data = await asyncio.wait_for(shard.get.remote({partition: ids}), _CALL_S)
        except (RayError, ValueError, TimeoutError) as error:
            cause = error.cause if isinstance(error, RayTaskError) else None
            if isinstance(cause, FluxError):
                raise cause from None
            raise Unavailable(f"partition {partition} does not answer; try again in a second") from None
        return decode_readings(data)[partition]
