"""A door without HTTP: the real publisher, feeds, live view, decisions, claims and hub of one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from flux_actors import limits
from flux_actors.domain.change import UnreadChange
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import Packed
from flux_actors.errors import FluxError
from flux_actors.feed.feeds import Feeds, PartitionFeed
from flux_actors.log.bus import NatsBus
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.surroundings import Surroundings
from flux_actors.tenancy.principal import ANYONE
from flux_actors.tenancy.registry import Registry
from flux_api.claiming import Claims, Order
from flux_api.deciding import FeedDecisions
from flux_api.hub import Hub
from flux_api.publishing import Publisher
from flux_api.view import LiveView
from flux_api.watching.ground import DoorGround, end_of
from tests.simulation.calls import Callee
from tests.simulation.cluster import SimulatedCalls
from tests.simulation.connection import SimulatedNats
from tests.simulation.loop import Process
from tests.simulation.network import Network

READ_WAIT_S: Final = 2.0


class Seen(NamedTuple):
    """An entity as a reader got it; without properties when there is none."""

    properties: dict[str, Any] | None
    position: int
    updated_us: int
    as_of: int  # all changes up to this position are in it


class Place(NamedTuple):
    """Where an event is."""

    partition: int
    position: Packed


class Door(Callee):
    """One door's process, and the parts that it is made of."""

    def __init__(
        self,
        network: Network,
        process: Process,
        client: SimulatedNats,
        rule: Partitioning,
        calls: SimulatedCalls,
        surroundings: Surroundings,
    ) -> None:
        super().__init__(network, process)
        self.client = client
        self.calls = calls
        self.log = JetStreamLog(client)  # type: ignore[arg-type] # as far as it is used
        self.parts = [PartitionFeed(partition) for partition in rule.all()]
        self.view = LiveView(rule, calls, lambda partition: self.parts[partition].sequence)
        registry = Registry()
        ground = DoorGround(rule, self.parts, calls, self.view, self.log, _nothing_to_read)
        self.hub = Hub(registry, ground)
        bus = NatsBus(client)  # type: ignore[arg-type]
        self._listener = _Listener(self.view, self.hub)
        self.feeds = Feeds(self.parts, bus, calls, self._listener, lambda _: None)
        decisions = FeedDecisions(self.parts, self.view, READ_WAIT_S)
        self.publisher = Publisher(self.log, rule, registry, None, decisions, surroundings)
        self.claims = Claims(self.publisher, self.view, surroundings)

    @property
    def has_lost(self) -> bool:
        """Whether changes passed it by that no shard could tell it of any more, but for what came of them."""
        return self._listener.losses > 0

    async def open(self) -> None:
        """Listen to the feeds, and follow the topology from now on."""
        await self.feeds.open()
        self.calls.start()
        await self.feeds.ask_for_places()

    def end(self) -> None:
        """Have the process die, and its connections end."""
        super().end()
        self.client.end()

    # What its routes do.

    async def publish(self, body: dict[str, Any]) -> Place:
        """`POST /api/events`."""
        published = await self.publisher.publish(body, ANYONE)
        return Place(published.partition, published.position)

    async def publish_all(self, bodies: Sequence[Any], *, whole: bool) -> list[Place | FluxError]:
        """`POST /api/events/batch`."""
        publish = self.publisher.publish_whole if whole else self.publisher.publish_all
        submission = await publish(bodies, ANYONE)
        places = {index: Place(partition, position) for index, partition, position in submission.places()}
        return [
            event if isinstance(event, FluxError) else places[index]
            for index, event in enumerate(submission.events)
        ]

    async def read(self, entity_id: str, partition: int, position: int) -> Seen:
        """`GET /api/state/entities/{id}` with a `Flux-Position`."""
        await self.parts[partition].reached(position >> limits.offset_bits, READ_WAIT_S)
        place = self.parts[partition].sequence
        found = await self.view.get(entity_id)
        properties = None if found.properties is None else dict(found.properties)
        as_of = found.as_of if place is None else max(found.as_of, end_of(place))
        return Seen(properties, found.position, found.updated_us, as_of)

    async def take_claim(self, order: Order) -> dict[str, Any]:
        """`POST /api/claims`."""
        return await self.claims.take(order, ANYONE)

    async def release_claim(self, order: Order) -> dict[str, Any]:
        """`DELETE /api/claims`."""
        return await self.claims.release(order, ANYONE)


class _Listener:
    """Hands what the feeds bring to the view first, then to the watchers."""

    def __init__(self, view: LiveView, hub: Hub) -> None:
        self._view = view
        self._hub = hub
        self.losses = 0

    @property
    def listens(self) -> bool:
        return self._view.listens or self._hub.watched

    def on_changes(self, changes: list[UnreadChange]) -> None:
        self._view.on_changes(changes)
        self._hub.dispatch(changes)

    def on_lost(self, partition: int, rows: list[EntityRow]) -> None:
        self.losses += 1
        self._view.forget(partition)
        self._hub.lost(partition, rows)


async def _nothing_to_read() -> None:
    """Bring tokens up to date: here are none."""
