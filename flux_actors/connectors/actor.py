"""The Ray shell of a namespace's connectors: a process that opens its connections and runs them."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import httpx
import ray
import uuid_utils

from flux_actors.connectors.addresses import AddressRule
from flux_actors.connectors.base import Connector
from flux_actors.connectors.catalogue import Catalogue
from flux_actors.connectors.github import GitHub
from flux_actors.connectors.namespace_connectors import Kit, NamespaceConnectors
from flux_actors.connectors.records import BUCKET, ConnectorStore, Key, Status
from flux_actors.connectors.states import ShardStates
from flux_actors.connectors.vault import NamespaceVault
from flux_actors.connectors.web import HttpWeb, origin_of, parse_url
from flux_actors.connectors.writing import EntityWriter, LogParts
from flux_actors.errors import Unavailable
from flux_actors.log.committer import Committer
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.log.sites import at_site
from flux_actors.log.telling import tell
from flux_actors.logs import set_up_logs
from flux_actors.router.succession import Succession
from flux_actors.router.topology import REGISTRY_BUCKET, TOPOLOGY_BUCKET, TOPOLOGY_KEY, decode_topology

_SAVE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """What one namespace's actor is given: the keys of that namespace alone."""

    namespace: str
    keys: tuple[bytes, ...] = field(repr=False)
    allow_private: bool
    github_url: str
    log_replicas: int
    auth_enabled: bool


class WallClock:
    """The real `Clock`."""

    def now_s(self) -> float:
        """Return epoch seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class ConnectorsProcess:
    """Runs the connectors of one namespace; Ray calls `open` before anything else."""

    def __init__(self) -> None:
        set_up_logs()
        self._connectors: NamespaceConnectors | None = None
        self._opening = asyncio.Lock()

    async def open(self, access: NatsAccess, plan: NamespacePlan) -> None:
        """Connect and begin; a second call changes nothing."""
        async with self._opening:
            if self._connectors is not None:
                return
            self._client = client = await connect(access, "flux-connectors")
            bucket = await JetStreamKeyValue.open(client, TOPOLOGY_BUCKET, plan.log_replicas)
            topology = at_site(bucket, access.site)
            stored = await topology.get(TOPOLOGY_KEY)
            if stored is None:
                raise Unavailable("the router has not placed the partitions yet")
            registry = decode_topology(stored.value).registry
            partitioning, log = registry.partitioning(), JetStreamLog(client, registry.generation)
            self._log_parts = LogParts(
                partitioning,
                lambda partition: Committer(log, partition, secrets.randbits(63), _now_us),
                ShardStates(log, topology, partitioning),
                lambda: str(uuid_utils.uuid7()),
                lambda: time.time_ns() // 1_000_000,
            )
            store = ConnectorStore(await JetStreamKeyValue.open(client, BUCKET, plan.log_replicas))
            vault = NamespaceVault(plan.namespace, plan.keys)
            kit = _kit(plan, self._log_parts)
            self._connectors = NamespaceConnectors(plan.namespace, vault, store, Catalogue(), kit)
            self._following = asyncio.create_task(self._connectors.follow())
            known = await JetStreamKeyValue.open(client, REGISTRY_BUCKET, plan.log_replicas)
            self._leaving = asyncio.create_task(self._leave(Succession(known, registry)))
            self._telling = await tell(client, "connectors", self._connectors.samples, site=access.site)

    async def _leave(self, succession: Succession) -> None:
        """Leave a log whose next generation has taken over: the keeper starts another one of us there."""
        await succession.wait()
        await self._client.close()

    async def pid(self) -> int:
        """Return the process id, unless the log has shut us out for good: then be replaced."""
        self._opened()
        if self._client.is_closed:
            raise Unavailable("the connection to the log was closed by the server")
        return os.getpid()

    async def refresh(self) -> None:
        """Look at the configuration now."""
        await self._opened().refresh()

    async def status(self) -> dict[Key, Status]:
        """Return how each connector is."""
        return self._opened().status()

    async def drain(self) -> None:
        """End all pollings, and have what they know kept."""
        if self._connectors is not None:
            self._following.cancel()
            self._leaving.cancel()
            await self._connectors.close()
            async with asyncio.timeout(_SAVE_S):
                await self._log_parts.close()

    def _opened(self) -> NamespaceConnectors:
        if self._connectors is None:
            raise Unavailable("the connectors are still opening")
        return self._connectors


def _kit(plan: NamespacePlan, log: LogParts) -> Kit:
    tls = cache(httpx.create_ssl_context)  # 30 ms and 1 MB: made when the first https is called, and once

    def web(connector: Connector) -> HttpWeb:
        trusted = origin_of(parse_url(plan.github_url)) if isinstance(connector, GitHub) else None
        rule = AddressRule(allow_private=plan.allow_private, trusted=trusted)
        return HttpWeb(rule, connector.answer_bytes_max, tls)

    def writer(prefix: str, stream: str, source: str) -> EntityWriter:
        return EntityWriter(prefix, stream, source, log)

    operator = {"github_url": plan.github_url}
    return Kit(web, writer, WallClock(), random.random, operator, writes_elsewhere=not plan.auth_enabled)


def _now_us() -> int:
    return time.time_ns() // 1000


# Another name than the class: Ray then pickles the class by reference, not with its module's globals.
RemoteConnectors = ray.remote(ConnectorsProcess)
