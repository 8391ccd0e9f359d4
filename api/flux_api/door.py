"""The door: everything one ingress replica needs to serve, put together and taken apart in order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from nats.aio.client import Client

from flux_actors import __version__, limits
from flux_actors.connectors.catalogue import Catalogue
from flux_actors.connectors.records import BUCKET as CONNECTORS_BUCKET
from flux_actors.connectors.records import ConnectorStore
from flux_actors.domain.change import UnreadChange
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import Packed, parse
from flux_actors.errors import Unavailable
from flux_actors.feed.feeds import Feeds, PartitionFeed
from flux_actors.feed.shard_calls import RayShardCalls, ShardCalls
from flux_actors.log.bus import NatsBus
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.log.ports import EventLog, KeyValue
from flux_actors.log.sites import at_site
from flux_actors.past.ray_teller import ray_tellers
from flux_actors.past.telling import TellersPast
from flux_actors.router.lender import RouterLender
from flux_actors.router.names import RAY_NAMESPACE
from flux_actors.router.registering import fewest_positions
from flux_actors.router.succession import Succession, registered
from flux_actors.router.topology import (
    CONFIG_BUCKET,
    REGISTRY_BUCKET,
    TENANCY_BUCKET,
    TOPOLOGY_BUCKET,
    TOPOLOGY_KEY,
    LogRegistry,
    Topology,
    decode_topology,
)
from flux_actors.settings import Settings
from flux_actors.tracing.opening import opened
from flux_api.audit import Audit
from flux_api.batches import LargeBatches
from flux_api.cached import CachedEntity
from flux_api.claiming import Claims
from flux_api.config import ConfigKeeper
from flux_api.connectors import DoorConnectors, RayConnectorActors
from flux_api.counts import entity_counts, fault_count
from flux_api.deciding import FeedDecisions
from flux_api.fences import Fences
from flux_api.hub import Hub
from flux_api.metering import DoorMeter
from flux_api.metrics import Metrics
from flux_api.past import DoorPast
from flux_api.presences import Presences
from flux_api.publishing import Publisher
from flux_api.rates import Rates
from flux_api.request_tally import RequestTally
from flux_api.scraping import Scraping
from flux_api.tenancy import TenancyKeeper, check_begun
from flux_api.traced import feeds_for, publisher_for
from flux_api.view import LiveView
from flux_api.watching.ground import DoorGround

if TYPE_CHECKING:
    from flux_actors.tracing.traces import Traces

_TOPOLOGY_S: Final = 60.0
_POLL_S: Final = 0.05


class Health(msgspec.Struct, frozen=True):
    """What `/api/health` tells."""

    status: str
    partitions: dict[str, int]
    lag: int
    version: str


@dataclass(slots=True)
class Door:
    """The parts of one replica."""

    settings: Settings
    client: Client
    log: EventLog
    partitioning: Partitioning
    shards: RayShardCalls
    feeds: Feeds
    view: LiveView
    hub: Hub
    publisher: Publisher
    config: ConfigKeeper
    metrics: Metrics
    name: str
    tenancy: TenancyKeeper
    rates: Rates
    connectors: DoorConnectors
    past: DoorPast
    succession: Succession  # of the log
    fences: Fences = field(init=False)
    batches: LargeBatches = field(init=False)
    claims: Claims = field(init=False)
    presences: Presences = field(init=False)
    traces: Traces | None = None
    requests: RequestTally = field(default_factory=RequestTally)
    meter: DoorMeter = field(init=False)
    scraping: Scraping = field(init=False)

    def __post_init__(self) -> None:
        """Put together what stands on the other parts alone."""
        self.fences = Fences(self.tenancy, self.publisher.committers, self.metrics)
        self.batches = LargeBatches(self.publisher)
        self.claims = Claims(self.publisher, self.view)
        self.presences = Presences(self.publisher, self.feeds.parts, self.name)
        parts = self.feeds.parts
        self.meter = DoorMeter(self.publisher, self.view, self.hub, parts, self.tenancy, self.requests)
        self.scraping = Scraping(self.metrics.bus, self.meter, self._shard_names)

    @property
    def audit(self) -> Audit:
        """Where changes are recorded before they are made."""
        return Audit(self.publisher)

    def give_up(self) -> None:
        """Have whatever waits for the log be told that it must be sent again: this log takes nothing more."""
        for committer in self.publisher.committers:
            committer.give_up()

    async def close(self) -> None:
        """Finish what is under way and let go of everything."""
        self.fences.close()
        await self.scraping.close()
        await self.presences.close()
        await self.rates.close()
        await self.publisher.close()
        await self.connectors.close()
        await self.metrics.close()
        await self.config.close()
        await self.tenancy.close()
        await self.shards.stop()
        await self.feeds.close()
        await self.view.close()
        await self.client.close()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)

    def health(self) -> Health:
        """Return the state of the partitions as their feeds tell it: nothing is asked for it."""
        parts = self.feeds.parts
        ready = sum(part.ready for part in parts)
        status = "ok" if ready == len(parts) else "recovering"
        lag = sum(part.pending for part in parts)
        return Health(status, {"ready": ready, "recovering": len(parts) - ready}, lag, __version__)

    def positions(self, text: str) -> dict[int, Packed]:
        """Return the positions of a client's text."""
        return parse(text, self.partitioning.partitions)

    async def reached(self, positions: dict[int, Packed], partitions: tuple[int, ...]) -> None:
        """Return when the view of `partitions` includes `positions`; raises `Unavailable` if not in time."""
        timeout_s = self.settings.read_wait_ms / 1000
        for partition in partitions:
            if partition in positions:
                sequence = positions[partition] >> limits.offset_bits
                await self.feeds.parts[partition].reached(sequence, timeout_s)

    async def caught_up(self, partitions: tuple[int, ...]) -> None:
        """Return when the view of `partitions` includes all that the log holds now."""
        bounds = await asyncio.gather(*(self.log.bounds(partition) for partition in partitions))
        timeout_s = self.settings.read_wait_ms / 1000
        for partition, bound in zip(partitions, bounds, strict=True):
            await self.feeds.parts[partition].reached(bound.last, timeout_s)

    async def entity_counts(self, names: Sequence[str]) -> dict[str, int]:
        """Return how many living entities each namespace has; raises `Unavailable` while a shard is away."""
        return await entity_counts(self.partitioning, self.shards, names)

    async def applied(self, entity_id: str | None, partition: int, position: Packed) -> CachedEntity | None:
        """Return the entity once its event at `position` is visible; `None` for an event without one."""
        await self.reached({partition: position}, (partition,))
        return None if entity_id is None else await self.view.get(entity_id)

    def _shard_names(self) -> set[str]:
        """Return the shards that own partitions."""
        return {name for part in self.feeds.parts if (name := self.shards.owner(part.partition))}


class _Listener:
    """Hands what the feeds bring to the view first, then to the watchers."""

    def __init__(self, view: LiveView, hub: Hub) -> None:
        self._view = view
        self._hub = hub

    @property
    def listens(self) -> bool:
        """Whether anybody reads or watches."""
        return self._view.listens or self._hub.watched

    def on_changes(self, changes: list[UnreadChange]) -> None:
        """Changes in log order."""
        self._view.on_changes(changes)
        self._hub.dispatch(changes)

    def on_lost(self, partition: int, rows: list[EntityRow]) -> None:
        """Show the entities as they are now."""
        self._view.forget(partition)
        self._hub.lost(partition, rows)


async def _first_topology(store: KeyValue, registry: KeyValue) -> Topology:
    """Return the topology of the log; the router may be about to make it, so it may have to be waited for."""
    deadline = time.monotonic() + _TOPOLOGY_S
    while time.monotonic() < deadline:
        stored = await store.get(TOPOLOGY_KEY)
        topology = None if stored is None else decode_topology(stored.value)
        if topology is not None and topology.registry == await registered(registry):
            return topology
        await asyncio.sleep(_POLL_S)
    raise Unavailable("the router has not placed the partitions yet; see its log")


async def open_door(settings: Settings, access: NatsAccess) -> Door:
    """Connect everything and return when every partition's feed is in place or a bound has passed.

    Raises:
        Unavailable: the log or the topology cannot be reached.
    """
    client = await connect(access, "flux-door")
    bus = NatsBus(client, access.site)
    bucket = await JetStreamKeyValue.open(client, TOPOLOGY_BUCKET, settings.log_replicas)
    topology_store = at_site(bucket, access.site)
    registry = await JetStreamKeyValue.open(client, REGISTRY_BUCKET, settings.log_replicas)
    topology = await _first_topology(topology_store, registry)
    log = JetStreamLog(client, topology.registry.generation)
    partitioning = topology.registry.partitioning()
    shards = RayShardCalls(topology_store, topology, RAY_NAMESPACE)
    tenancy = await _tenancy(settings, client, topology.registry)
    name = f"{os.getpid()}-{time.time_ns()}"
    parts = [PartitionFeed(partition) for partition in partitioning.all()]

    complete_below = await fewest_positions(registry, settings.history_positions)
    folds = TellersPast(ray_tellers(access, settings.snapshot_place, topology.registry.generation))
    past = DoorPast(folds, shards, log, tenancy.registry, complete_below)
    view = LiveView(partitioning, shards, lambda partition: parts[partition].sequence)
    hub = Hub(tenancy.registry, DoorGround(partitioning, parts, shards, view, log, tenancy.current, past))
    tenancy.listen(hub.look_at_tokens)
    metrics = Metrics(name, bus, hub, parts, partial(_hidden_entities, partitioning, shards, tenancy))
    traces = opened(settings.traces, "door", name)
    feeds = feeds_for(traces, hub, parts, bus, shards, _Listener(view, hub), metrics.on_sources)
    config = await _config(settings, client)
    await feeds.open()
    await metrics.open()
    shards.start()
    await feeds.ask_for_places()
    connectors = await _connectors(settings, access, client)
    rates = Rates(RouterLender(), name, in_force=tenancy.enabled)
    config.tell(rates.configure)
    decisions = FeedDecisions(parts, view, settings.read_wait_ms / 1000)
    publisher = publisher_for(traces, log, partitioning, tenancy.registry, rates, decisions)
    door = Door(
        settings,
        client,
        log,
        partitioning,
        shards,
        feeds,
        view,
        hub,
        publisher,
        config,
        metrics,
        name,
        tenancy,
        rates,
        connectors,
        past,
        Succession(registry, topology.registry),
        traces=traces,
    )
    await door.scraping.open(client)
    return door


async def _config(settings: Settings, client: Client) -> ConfigKeeper:
    """Return the configuration that admins may change, read from the store."""
    config = ConfigKeeper(await JetStreamKeyValue.open(client, CONFIG_BUCKET, settings.log_replicas))
    await config.open()
    return config


async def _hidden_entities(partitioning: Partitioning, shards: ShardCalls, tenancy: TenancyKeeper) -> int:
    """Return how many entities there are that metrics must not tell of."""
    hidden = frozenset(tenancy.registry.hidden)
    counts = await entity_counts(partitioning, shards, list(hidden))
    return sum(counts.values()) + await fault_count(partitioning, shards, hidden)


async def _connectors(settings: Settings, access: NatsAccess, client: Client) -> DoorConnectors:
    """Return the connectors as this door sees them, which looks after their keeper from now on."""
    kept = ConnectorStore(await JetStreamKeyValue.open(client, CONNECTORS_BUCKET, settings.log_replicas))
    connectors = DoorConnectors(kept, Catalogue(), RayConnectorActors(access, settings), settings)
    connectors.begin()
    return connectors


async def _tenancy(settings: Settings, client: Client, log: LogRegistry) -> TenancyKeeper:
    """Return the tenants of this door, read from the store when auth is on."""
    store = None
    if settings.auth_enabled:
        store = await JetStreamKeyValue.open(client, TENANCY_BUCKET, settings.log_replicas)
        await check_begun(await JetStreamKeyValue.open(client, REGISTRY_BUCKET, settings.log_replicas), store)
    tenancy = TenancyKeeper(store, settings.admin_token)
    await tenancy.open()
    tenancy.registry.in_this_log = log.past_of
    return tenancy
