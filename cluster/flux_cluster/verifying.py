"""Comparing a running Flux with its log, partition after partition."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, Final

import ray
from ray.exceptions import RayError, RayTaskError

from flux_actors.behaviour.code_store import JetStreamCodeStore
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.behaviour.reducing import ReducerProcess
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.log.ports import KeyValue
from flux_actors.log.sites import at_site
from flux_actors.past.comparing import Compared, Comparing
from flux_actors.past.teller import BOUNDS
from flux_actors.reporting import Say
from flux_actors.router.handle import router_handle
from flux_actors.router.names import RAY_NAMESPACE
from flux_actors.router.registering import fewest_positions
from flux_actors.router.topology import (
    REGISTRY_BUCKET,
    TOPOLOGY_BUCKET,
    TOPOLOGY_KEY,
    LogRegistry,
    decode_topology,
)
from flux_actors.settings import Settings
from flux_actors.snapshot.digest import Digest, decode_digest
from flux_actors.snapshot.opening import open_store
from flux_cluster.reaching import reached

_ASK_S: Final = 30.0
_DIGEST_S: Final = 600.0
_TRIES: Final = 60
_RETRY_S: Final = 1.0


def verify(settings: Settings, say: Say) -> list[Compared]:
    """Compare every partition; this process has joined the Ray cluster of the Flux.

    Raises:
        Unavailable: a part of Flux cannot be asked now. Corrupt: the log contradicts itself.
    """
    site: str = ray.get(router_handle().site.remote(), timeout=_ASK_S)
    with reached(settings) as access:
        return asyncio.run(_verify(access, site, settings, say))


async def _verify(access: NatsAccess, site: str, settings: Settings, say: Say) -> list[Compared]:
    client = await connect(access, "flux-verify")
    reducers = ReducerProcess(BOUNDS)
    gc.disable()  # millions of young objects that all stay until the end: nothing to find
    try:
        topology = at_site(await JetStreamKeyValue.open(client, TOPOLOGY_BUCKET), site)
        shards = _RayShards(topology)
        generation = (await shards.registry()).generation
        registry = await JetStreamKeyValue.open(client, REGISTRY_BUCKET)
        code = ReducerCode(reducers, await JetStreamCodeStore.open(client))
        comparing = Comparing(
            JetStreamLog(client, generation),
            open_store(settings.snapshot_place, generation),
            code,
            shards,
            await fewest_positions(registry, settings.history_positions),
            say,
        )
        found = []
        for partition in range((await shards.registry()).partitions):
            found.append(await comparing.compare(partition))
            gc.collect()  # what was folded for it
        return found
    finally:
        gc.enable()
        reducers.close()
        await client.close()


class _RayShards:
    """Asks the shards through Ray."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store

    async def registry(self) -> LogRegistry:
        """Return what is noted of the log."""
        known = await self._store.get(TOPOLOGY_KEY)
        if known is None:
            raise Refused("this log has no shards yet; start Flux with `flux up`")
        return decode_topology(known.value).registry

    async def digest(self, partition: int, suspended: list[str], wanted: list[int]) -> Digest:
        """Ask the owner, and again while the partition moves or recovers."""
        for number in range(1, _TRIES + 1):
            try:
                return decode_digest(await self._ask(partition, suspended, wanted))
            except Unavailable:
                if number == _TRIES:
                    raise
                await asyncio.sleep(_RETRY_S)
        raise Unavailable(f"partition {partition} does not answer")

    async def _ask(self, partition: int, suspended: list[str], wanted: list[int]) -> bytes:
        known = await self._store.get(TOPOLOGY_KEY)
        owner = decode_topology(known.value).owners[partition] if known is not None else None
        if owner is None:
            raise Unavailable(f"nobody hosts partition {partition}")
        try:
            shard: Any = ray.get_actor(owner.shard, namespace=RAY_NAMESPACE)
            data: bytes = await asyncio.wait_for(shard.digest.remote(partition, suspended, wanted), _DIGEST_S)
        except RayTaskError as error:
            if isinstance(error.cause, FluxError):
                raise error.cause from None
            raise Unavailable(f"partition {partition} could not tell its digest") from error
        except (RayError, ValueError, TimeoutError) as error:
            raise Unavailable(f"the shard of partition {partition} does not answer") from error
        return data
