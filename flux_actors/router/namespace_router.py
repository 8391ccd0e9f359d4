"""The NamespaceRouter: the named, detached Ray actor around a `Router`, and the directory it keeps."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import ray
import structlog
from nats.aio.client import Client

from flux_actors import limits
from flux_actors.behaviour.code_store import JetStreamCodeStore
from flux_actors.behaviour.deployer import CATALOGUE_BUCKET, Deployer, DeployRequest
from flux_actors.behaviour.roster import ActorRow
from flux_actors.domain.acting.catalogue import Catalogue, Version
from flux_actors.domain.entity_id import BEHAVIOURS_PREFIX, DIRECTORY_ID
from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.closing import JetStreamGenerations
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.log.roll_call import Answerer
from flux_actors.log.sites import at_site, forget_old_sites
from flux_actors.log.telling import tell
from flux_actors.logs import set_up_logs
from flux_actors.router.actors import Actors
from flux_actors.router.behaviours import Admins, Behaviours, Shown
from flux_actors.router.core_events import CoreEvents
from flux_actors.router.directory import directory_properties
from flux_actors.router.introductions import Introducer, Introduction
from flux_actors.router.metering import RouterMeter
from flux_actors.router.named_actors import end_named_actors
from flux_actors.router.names import ROUTER_NAME
from flux_actors.router.plan import RouterPlan
from flux_actors.router.ray_shards import RayShards
from flux_actors.router.registering import note_history, register_log
from flux_actors.router.router import Router
from flux_actors.router.shard_host import ShardGone
from flux_actors.router.succession import Succession, end_switch
from flux_actors.router.topology import (
    REGISTRY_BUCKET,
    STREAMS_KEY,
    SWITCHING_KEY,
    TENANCY_BUCKET,
    TOPOLOGY_BUCKET,
)
from flux_actors.shard.plan import ShardPlan
from flux_actors.tenancy.budget import Ask, Budgets, Lease, Limit
from flux_actors.tenancy.following import Follower
from flux_actors.tenancy.registry import Registry

_log = structlog.get_logger(__name__)
_DIRECTORY_S: Final = 1.0
_RETRY_S: Final = 0.5


class NamespaceRouter:
    """Shards namespaces: registry, topology, supervision, directory."""

    def __init__(self, access: NatsAccess, plan: RouterPlan) -> None:
        set_up_logs()
        self._access = access
        self._plan = plan
        self._client: Client | None = None
        self._router: Router | None = None
        self._host: RayShards | None = None
        self._events: CoreEvents | None = None
        self._behaviours: Behaviours | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._directory: dict[str, Any] | None = None
        self._directory_at: int = -1
        self._budgets = Budgets(time.monotonic(), secrets.token_hex(8))
        self._tenants = Registry()
        self._follower: Follower | None = None
        self._introducer: Introducer | None = None
        self._retires = False
        self._shards = plan.shards  # what is wished: a log of few partitions has fewer, its next one may not
        self._telling: Answerer | None = None
        # Ray runs the constructor on the actor's loop; after a restart nobody else would call `open`.
        self._opening = asyncio.get_running_loop().create_task(self._open_when_possible())

    async def owner(self) -> str:
        """Return whose Flux this is."""
        return self._plan.owner

    async def site(self) -> str:
        """Return under which name this Ray cluster goes among others on the same log; mostly none."""
        return self._access.site

    async def founded(self) -> tuple[str, int]:
        """Return whose Flux this is, and when its plan was made."""
        return self._plan.owner, self._plan.made_us

    async def open(self) -> None:
        """Return when every partition has a living shard.

        Raises:
            Refused: the settings do not fit the log.
        """
        await asyncio.shield(self._opening)

    async def lease(self, door: str, asks: dict[str, Ask], limit: Limit) -> Lease:
        """Give a door events of the budgets that it asks for."""
        return self._budgets.lease(door, asks, limit, time.monotonic())

    async def introduce(self, token: str | None) -> Introduction:
        """Tell a process of the cluster how to use the log, and what it may do.

        Raises:
            Refused: 401, tokens are on and `token` is none.
        """
        await self.open()
        if self._introducer is None:
            raise Unavailable("the router is still opening")
        return await self._introducer.introduce(token)

    async def status(self) -> dict[str, Any]:
        """Return the process id, the topology and each shard's last status."""
        await self.open()
        router = self._opened()
        return {
            "pid": os.getpid(),
            "partitions": router.registry.partitions,
            "shards": {name: [row._asdict() for row in rows] for name, rows in router.status.items()},
        }

    async def shards(self, admin_token: str | None = None) -> dict[str, Any]:
        """Return that with the node of each shard and what moves between them; for admins."""
        (await self._deploying()).admit(admin_token)
        router = self._opened()
        return await self.status() | {
            "placed": router.placed(),
            "nodes": self._host.nodes() if self._host is not None else {},
            "wanted": router.wanted,
            "moving": router.moving._asdict() if router.moving is not None else None,
            "moves_left": router.moves_left,
            "even": router.even,
        }

    async def scale(self, shards: int, admin_token: str | None = None) -> None:
        """Have so many shards, between which partitions are moved; `status` tells how far that is.

        Raises:
            Refused: there are fewer partitions, or it is not the admin token.
        """
        (await self._deploying()).admit(admin_token)
        self._opened().scale(shards)
        self._shards = shards

    async def deploy(self, request: DeployRequest, admin_token: str | None = None) -> Version:
        """Deploy a behaviour, and return the version that it has become; all below need an admin as well."""
        return await (await self._deploying()).deploy(request, admin_token)

    async def behaviours(self, admin_token: str | None = None) -> Catalogue:
        """Return all that is deployed."""
        return await (await self._deploying()).list(admin_token)

    async def promote(self, name: str, admin_token: str | None = None) -> Catalogue:
        """Have the canary of a behaviour hold for all."""
        return await (await self._deploying()).promote(name, admin_token)

    async def rollback(self, name: str, admin_token: str | None = None) -> Catalogue:
        """End the canary of a behaviour, or go back to the version before."""
        return await (await self._deploying()).rollback(name, admin_token)

    async def remove(self, name: str, admin_token: str | None = None) -> Catalogue:
        """Take a behaviour away."""
        return await (await self._deploying()).remove(name, admin_token)

    async def resume(self, name: str, admin_token: str | None = None) -> Catalogue:
        """Start a behaviour again that a fault has stopped."""
        return await (await self._deploying()).resume(name, admin_token)

    async def pin(self, entity_id: str, node: str | None, admin_token: str | None = None) -> Catalogue:
        """Have an entity's own actor stay on a Ray node, or anywhere for `None`."""
        return await (await self._acting()).pin(entity_id, node, admin_token)

    async def actors(self, prefix: str, rows_max: int, admin_token: str | None = None) -> list[ActorRow]:
        """Return how entities with behaviours stand."""
        return await (await self._acting()).find(prefix, rows_max, admin_token)

    async def act(self, verb: str, entity_id: str, admin_token: str | None = None) -> None:
        """Kill, restart or stop the behaviour of an entity."""
        await (await self._acting()).act(verb, entity_id, admin_token)

    async def escalate(self, name: str, number: int | None = None) -> Catalogue:
        """Stop a version of a behaviour for all its entities; for shards, which met a fault that wants it."""
        return await (await self._deploying()).escalate(name, number)

    async def retire(self) -> None:
        """Drain, end all that Flux has on this Ray cluster, and this actor last: nobody wants it any more."""
        if self._retires:
            return
        self._retires = True
        try:
            await self.drain()
        except Unavailable as error:  # it never opened
            _log.warning("router.not_drained", reason=error.message)
        end_named_actors(but=ROUTER_NAME)
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]

    async def drain(self) -> None:
        """End all shards with a last snapshot."""
        for task in self._tasks:
            task.cancel()
        await self._opened().drain()

    async def _open_when_possible(self) -> None:
        while True:
            try:
                await self._open()
            except (Unavailable, ShardGone, TimeoutError) as error:
                _log.warning("router.waits", reason=str(error) or type(error).__name__)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _open(self) -> None:
        plan = self._plan
        if self._client is None:
            self._client = await connect(self._access, "flux-router")
        client = self._client
        registry_store = await JetStreamKeyValue.open(client, REGISTRY_BUCKET, plan.log_replicas)
        generations = JetStreamGenerations(client)
        if await registry_store.get(SWITCHING_KEY) is not None:  # whoever began it is gone, or comes too late
            await end_switch(registry_store, generations)
        topologies = await JetStreamKeyValue.open(client, TOPOLOGY_BUCKET, plan.log_replicas)
        topology_store = at_site(topologies, self._access.site)
        registry = await register_log(registry_store, uuid.uuid4().hex, plan.partitions, plan.spread)
        log = JetStreamLog(client, registry.generation)
        log_is_new = await registry_store.get(STREAMS_KEY) is None
        await note_history(registry_store, plan.history_positions, log_is_new=log_is_new)
        if log_is_new:
            await log.create(registry.partitions, registry.log_id, plan.log_replicas)
            await registry_store.put(STREAMS_KEY, registry.log_id.encode())
        # A stream that is missing from now on was lost: to make it again would pass for an empty log.
        shard_plan = ShardPlan(
            plan.snapshots,
            registry.partitioning(),
            plan.history_positions,
            plan.memory,
            plan.retention.share(registry.partitions),
            plan.log_replicas,
            plan.traces,
            registry.generation,
        )
        self._host = RayShards(self._access, shard_plan)
        router = Router(topology_store, self._host, registry, self._shards)
        await router.open()
        await forget_old_sites(topologies, self._access.site)
        if plan.auth_enabled:
            tenants = await JetStreamKeyValue.open(client, TENANCY_BUCKET, plan.log_replicas)
            self._follower = Follower(tenants, self._tenants, self._forget_directory)
            await self._follower.read()  # before anything is shown that somebody is not to see
        self._events = CoreEvents(log, registry.partitioning(), lambda: secrets.randbits(63), _now_us)
        self._behaviours = await self._open_behaviours(client, log, registry.partitions, self._events)
        self._introducer = Introducer(
            self._access, registry, plan.log_replicas, self._tenants, self._follower
        )
        self._router = router
        self._telling = await tell(client, "router", RouterMeter(router).samples, site=self._access.site)
        succession = Succession(registry_store, registry)
        succeeding = partial(self._keep_succession, succession, generations)
        keepers = router.watch, self._keep_directory, self._keep_behaviours, succeeding
        self._tasks = [asyncio.create_task(_unless_it_fails(keeper)) for keeper in keepers]

    async def _keep_succession(self, succession: Succession, generations: JetStreamGenerations) -> None:
        """See that a switch comes to an end; when the log has a next generation, go on with that."""
        while not await succession.ended():
            try:
                await succession.look_after(generations)
            except FluxError as error:
                _log.warning("succession.waits", reason=error.message)
            await asyncio.sleep(limits.log_look_s)
        self._opening = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        """Open anew, on what the registry says by now."""
        router, self._router = self._opened(), None
        router.leave()
        for task in self._tasks:
            task.cancel()
        if self._telling is not None:
            await self._telling.close()
        self._directory, self._directory_at = None, -1
        await self._open_when_possible()

    async def _open_behaviours(
        self, client: Client, log: JetStreamLog, partitions: int, events: CoreEvents
    ) -> Behaviours:
        plan = self._plan
        store = await JetStreamKeyValue.open(client, CATALOGUE_BUCKET, plan.log_replicas)
        code = await JetStreamCodeStore.open(client, plan.log_replicas)
        deployer = Deployer(store, code, log, partitions, _now_us)
        admins = Admins(plan.admin_token, auth_enabled=plan.auth_enabled)
        return Behaviours(deployer, events, admins, self._tenants.hidden, _now_us)

    async def _deploying(self) -> Behaviours:
        await self.open()
        if self._behaviours is None:
            raise Unavailable("the router is still opening")
        return self._behaviours

    async def _acting(self) -> Actors:
        behaviours = await self._deploying()
        if self._host is None:
            raise Unavailable("the router is still opening")
        return Actors(self._opened(), self._host, behaviours, ray.nodes)

    async def _keep_behaviours(self) -> None:
        """See that every partition and every reader has the newest catalogue."""
        while True:
            await asyncio.sleep(limits.catalogue_look_s)
            try:
                router, behaviours = self._opened(), await self._deploying()
                await behaviours.look(router.leading(), self._shown_behaviours)
            except (FluxError, ShardGone, TimeoutError) as error:
                _log.warning("behaviours.wait", reason=str(error) or type(error).__name__)

    async def _shown_behaviours(self) -> Shown:
        """Return which entities show behaviours, as their shard has them."""
        router, host = self._opened(), self._host
        found: Shown = {}
        for partition in router.registry.partitioning().of_prefix(BEHAVIOURS_PREFIX):
            owner = router.topology.owners[partition]
            if owner is None or host is None:
                raise Unavailable(f"nobody hosts partition {partition}")
            ids = await host.matching(owner.shard, partition, BEHAVIOURS_PREFIX, 2 * limits.behaviours_max)
            for entity_id in ids:
                found[entity_id] = await host.properties(owner.shard, partition, entity_id) or {}
        return found

    async def _keep_directory(self) -> None:
        while True:
            await asyncio.sleep(_DIRECTORY_S)
            try:
                await self._refresh_directory(self._opened())
            except (FluxError, ShardGone, TimeoutError) as error:
                _log.warning("directory.waits", reason=type(error).__name__)

    def _forget_directory(self) -> None:
        """Have the directory made again though no event came: what it may tell has changed."""
        self._directory_at = -1

    async def _refresh_directory(self, router: Router) -> None:
        if self._follower is not None:
            await self._follower.read()
        sequence = sum(row.sequence for row in router.leading())
        if sequence == self._directory_at or self._host is None or self._events is None:
            return
        if self._directory is None:
            self._directory = await self._stored_directory(router, self._host)
        answers = await asyncio.gather(*(self._host.namespaces(name) for name in router.shard_names()))
        properties = directory_properties((row for rows in answers for row in rows), self._tenants.hidden)
        if properties != self._directory:
            await self._events.write(DIRECTORY_ID, properties, "flux.directory")
            self._directory = properties
        self._directory_at = sequence

    async def _stored_directory(self, router: Router, host: RayShards) -> dict[str, Any] | None:
        partition = router.registry.partitioning().of_entity(DIRECTORY_ID)
        owner = router.topology.owners[partition]
        return await host.properties(owner.shard, partition, DIRECTORY_ID) if owner else None

    def _opened(self) -> Router:
        if self._router is None:
            raise Unavailable("the router is still opening")
        return self._router


async def _unless_it_fails(keeper: Callable[[], Awaitable[None]]) -> None:
    """Do what has no end, or end the process: Ray starts it again, and it takes over all that lives."""
    try:
        await keeper()
    except Exception:  # noqa: BLE001 - whatever it is, nobody would do the keeper's work any more
        _log.exception("router.failed")
        os._exit(1)


def _now_us() -> int:
    return time.time_ns() // 1_000


# Another name than the class: Ray then pickles the class by reference, not with its module's globals.
RemoteRouter = ray.remote(NamespaceRouter)
