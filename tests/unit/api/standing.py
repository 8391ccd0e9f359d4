"""A door that stands on twins: a real shard over an in-memory log, and the real app in front of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from flux_actors.connectors.catalogue import Catalogue
from flux_actors.connectors.records import ConnectorStore, Key, Status
from flux_actors.domain.change import Change, FeedMessage, encode_feed
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import pack
from flux_actors.errors import FluxError
from flux_actors.feed.feeds import PartitionFeed
from flux_actors.log.memory import MemoryBus, MemoryKeyValue, MemoryLog
from flux_actors.log.ports import feed_subject
from flux_actors.past.answering import Answering
from flux_actors.router.succession import Succession
from flux_actors.router.topology import LogRegistry
from flux_actors.settings import Settings
from flux_actors.shard import reads
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.shard.tracing import ShardTracer
from flux_actors.snapshot.memory import MemorySnapshotStore
from flux_actors.tenancy.lending import MemoryLender
from flux_actors.tenancy.principal import ANYONE
from flux_actors.tracing.traces import Traces
from flux_api.config import ConfigKeeper
from flux_api.connectors import DoorConnectors
from flux_api.deciding import FeedDecisions
from flux_api.door import Door, _Listener
from flux_api.hub import Hub
from flux_api.metrics import Metrics
from flux_api.past import DoorPast
from flux_api.rates import Rates
from flux_api.submission import Published, Submission
from flux_api.tenancy import TenancyKeeper
from flux_api.traced import feeds_for, publisher_for
from flux_api.view import LiveView
from flux_api.watching.ground import DoorGround
from tests.unit.past.folding import no_reducers

DEADLINE_S = 20.0
PARTITIONS = 3


def change(entity_id: str, properties: Any, sequence: int = 1, clock_us: int = 0) -> Change:
    """Return the change of the first event of a block."""
    return Change(pack(sequence, 0), entity_id, properties, clock_us)


def row(entity_id: str, properties: Any, sequence: int = 1) -> EntityRow:
    """Return an entity as a shard tells it."""
    return EntityRow(entity_id, properties, pack(sequence, 0), 0)


def readings(sequence: int, *rows: EntityRow, partition: int = 0) -> bytes:
    """Return a shard's answer to `get`."""
    return reads.encode({partition: reads.Readings(sequence, list(rows))})


def feed(after: int, sequence: int, *changes: Change, partition: int = 0, epoch: int = 1) -> bytes:
    """Return a feed message."""
    sources = ["source"] if changes else []
    return encode_feed(FeedMessage(partition, epoch, after, sequence, 0, sequence, 1, sources, list(changes)))


@dataclass
class FakeCalls:
    """A way to shards whose answers a test gives: a value, an exception, or a function of the arguments."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    owners: dict[int, str] = field(default_factory=dict)

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:
        self.asked.append((method, *arguments))
        answer = self.answers[method]
        if callable(answer):
            answer = answer(*arguments)
        if asyncio.iscoroutine(answer) or asyncio.isfuture(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def owner(self, partition: int) -> str:
        return self.owners.get(partition, "shard")


class ShardInPlace:
    """The way to one shard in this process."""

    def __init__(self, shard: EntityShard) -> None:
        self.shard = shard

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:
        return await getattr(self.shard, method)(*arguments)

    def owner(self, partition: int) -> str:
        return "shard"

    async def stop(self) -> None:
        """Nothing to stop."""


class FakeConnectorActors:
    """A way to actors that are not there, unless a test gives their status."""

    def __init__(self) -> None:
        self.statuses: dict[str, dict[Key, Status]] = {}
        self.heard: list[str] = []

    async def status(self, namespace: str) -> dict[Key, Status] | None:
        return self.statuses.get(namespace)

    def changed(self, namespace: str) -> None:
        self.heard.append(namespace)

    async def told(self, namespace: str) -> None:
        self.heard.append(namespace)

    async def close(self) -> None:
        """Nothing to end."""


@dataclass
class Standing:
    """The door and what it stands on."""

    door: Door
    log: MemoryLog
    bus: MemoryBus
    shard: EntityShard
    store: MemorySnapshotStore
    tenants: MemoryKeyValue | None = None

    @classmethod
    async def up(
        cls,
        traces: Traces | None = None,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> Standing:
        """Return one whose partitions are all ready; with `auth_enabled` it has tenants in memory.

        `clock` is that of rates.
        """
        settings = Settings(_env_file=None, **options)
        tenants = MemoryKeyValue() if settings.auth_enabled else None
        tenancy = TenancyKeeper(tenants, settings.admin_token)
        await tenancy.open()
        log, bus = MemoryLog(PARTITIONS), MemoryBus()
        store = MemorySnapshotStore()
        shard = EntityShard(log, store, bus, PARTITIONS, settings.history_positions)
        shard.tracer = None if traces is None else ShardTracer(traces)
        calls: Any = ShardInPlace(shard)
        rule = Partitioning(PARTITIONS, frozenset({"wide"}))
        parts = [PartitionFeed(partition) for partition in rule.all()]
        view = LiveView(rule, calls, lambda partition: parts[partition].sequence)
        past = DoorPast(
            Answering(log, store, no_reducers()), calls, log, tenancy.registry, settings.history_positions
        )
        hub = Hub(tenancy.registry, DoorGround(rule, parts, calls, view, log, tenancy.current, past))
        tenancy.listen(hub.look_at_tokens)
        metrics = Metrics("door", bus, hub, parts)
        feeds = feeds_for(traces, hub, parts, bus, calls, _Listener(view, hub), metrics.on_sources)
        config = ConfigKeeper(MemoryKeyValue())
        await config.open()
        await feeds.open()
        client: Any = SimpleNamespace(close=_nothing)
        connectors = DoorConnectors(
            ConnectorStore(MemoryKeyValue()), Catalogue(lambda: ()), FakeConnectorActors(), settings
        )
        rates = Rates(MemoryLender(clock), "door", in_force=settings.auth_enabled, clock=clock)
        config.tell(rates.configure)
        door = Door(
            settings,
            client,
            log,
            rule,
            calls,
            feeds,
            view,
            hub,
            publisher_for(traces, log, rule, tenancy.registry, rates, FeedDecisions(parts, view, 2.0)),
            config,
            metrics,
            "door",
            tenancy,
            rates,
            connectors,
            past,
            Succession(MemoryKeyValue(), LogRegistry("log", PARTITIONS, ["wide"])),
            traces=traces,
        )
        for partition in rule.all():
            await shard.adopt(partition, 1)
        await until(lambda: all(part.ready for part in parts))
        return cls(door, log, bus, shard, store, tenants)

    def hurry(self) -> None:
        """Let reads wait for a moment only, where what they wait for does not come."""
        self.door.settings = self.door.settings.model_copy(update={"read_wait_ms": 20})

    async def down(self) -> None:
        await self.door.close()
        await self.shard.drain()

    async def publish(self, *events: dict[str, Any]) -> None:
        """Publish and wait until the door has heard of it."""
        positions = (await self.door.publisher.publish_all(events, ANYONE)).positions()
        await self.door.reached(positions, tuple(positions))


def event(entity_id: str | None, properties: Any = None, **fields: Any) -> dict[str, Any]:
    """Return the JSON object of an event."""
    payload = {} if entity_id is None else {"entity_id": entity_id}
    if properties is not None:
        payload["properties"] = properties
    return {"stream": "test", "source": "test", "payload": payload} | fields


def outcomes_of(submission: Submission) -> list[Published | FluxError]:
    """Return what became of each event of a submission."""
    outcomes: list[Any] = list(submission.events)
    for index, partition, position in submission.places():
        outcomes[index] = Published(outcomes[index], partition, position)
    assert submission.failed == sum(isinstance(outcome, FluxError) for outcome in outcomes)
    return outcomes


async def until(condition: Callable[[], Any]) -> None:
    """Return when `condition` holds; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - any condition, so there is no event to wait for
            await asyncio.sleep(0)


async def settle() -> None:
    """Let everything run that can run without waiting."""
    for _ in range(20):
        await asyncio.sleep(0)


async def say(bus: MemoryBus, messages: Iterable[bytes], partition: int = 0) -> None:
    """Send feed messages and let them be heard."""
    for message in messages:
        await bus.publish(feed_subject(partition), message)
    await settle()


async def _nothing() -> None:
    """Close nothing."""
