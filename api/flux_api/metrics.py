"""What the metrics message tells: totals of the feeds, sockets of all doors, lately active sources."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from flux_actors import limits
from flux_actors.domain.clock import iso_of
from flux_actors.errors import Unavailable
from flux_actors.feed.feeds import PartitionFeed
from flux_actors.log.ports import DOORS_SUBJECT, Bus, Subscription
from flux_api.frames import message
from flux_api.hub import Hub

_DOOR_GONE_S = 3 * limits.metrics_every_s
_SOURCES_MAX = 10_000
_COUNT_S = 2.0


class DoorBeat(msgspec.Struct, array_like=True, frozen=True):
    """What each door tells the others."""

    door: str
    connections: int
    fence: int = 0  # up to which revision of the tenants it goes by them, with nothing of before under way


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(DoorBeat).decode


class Metrics:
    """Counts for watchers, once per `metrics_every_s`."""

    def __init__(
        self,
        name: str,
        bus: Bus,
        hub: Hub,
        parts: list[PartitionFeed],
        hidden_entities: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._name = name
        self._hidden_entities = hidden_entities
        self._hidden = 0  # entities of private namespaces, which a total for everybody leaves out
        self.bus = bus
        self._hub = hub
        self._parts = parts
        self._doors: dict[str, tuple[DoorBeat, float]] = {}
        self.fence = 0
        self._sources: dict[str, float] = {}
        self._samples: deque[tuple[float, int]] = deque()
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen to the other doors and begin to tell."""
        self._subscription = await self.bus.subscribe(DOORS_SUBJECT, self._on_beat)
        self._task = asyncio.create_task(self._tell())

    async def close(self) -> None:
        """Tell no longer."""
        if self._task is not None:
            self._task.cancel()
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    def on_sources(self, sources: list[str]) -> None:
        """Remember who published."""
        now = time.monotonic()
        for source in sources:
            self._sources.pop(source, None)
            self._sources[source] = now
        while len(self._sources) > _SOURCES_MAX:
            del self._sources[next(iter(self._sources))]

    def connections(self) -> int:
        """Return the sockets of all doors."""
        return len(self._hub.watchers) + sum(beat.connections for beat in self._others())

    def doors(self) -> int:
        """Return how many doors are heard, this one included."""
        return 1 + len(self._others())

    def fence_of_all(self) -> int:
        """Return the fence that every door has reached which was heard of late."""
        return min([self.fence, *(beat.fence for beat in self._others())])

    async def beat(self) -> None:
        """Tell the other doors of this one.

        Raises:
            Unavailable: they cannot be reached.
        """
        beat = DoorBeat(self._name, len(self._hub.watchers), self.fence)
        await self.bus.publish(DOORS_SUBJECT, _encode(beat))

    def snapshot(self) -> str:
        """Return the metrics message of this moment."""
        return message(
            type="metrics_update",
            timestamp=iso_of(time.time_ns() // 1_000),
            entities={"total": max(0, sum(part.entities for part in self._parts) - self._hidden)},
            events={"total": sum(part.events_total for part in self._parts), "rate_per_second": self._rate()},
            websocket={"connections": self.connections()},
            publishers={"active": self._active()},
        )

    async def _tell(self) -> None:
        while True:
            try:
                await self.beat()
            except Unavailable:
                self._doors.clear()  # nobody can be heard either
            await self._count_hidden()
            self._sample()
            self._hub.announce(self.snapshot())
            await asyncio.sleep(limits.metrics_every_s)

    async def _count_hidden(self) -> None:
        if self._hidden_entities is not None:
            with suppress(Unavailable, TimeoutError):  # a shard is away: what was known before hides most
                self._hidden = await asyncio.wait_for(self._hidden_entities(), _COUNT_S)

    async def _on_beat(self, data: bytes) -> None:
        beat = _decode(data)
        self._doors[beat.door] = (beat, time.monotonic())

    def _others(self) -> list[DoorBeat]:
        fresh = time.monotonic() - _DOOR_GONE_S
        return [beat for door, (beat, at) in self._doors.items() if door != self._name and at > fresh]

    def _sample(self) -> None:
        if any(part.sequence is None for part in self._parts):
            self._samples.clear()  # what the log held before this door came up is no rate
            return
        now = time.monotonic()
        self._samples.append((now, sum(part.events_total for part in self._parts)))
        while len(self._samples) > 1 and now - self._samples[0][0] > limits.rate_window_s + 1:
            self._samples.popleft()

    def _rate(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        return round(max(0, last - first) / max(last_at - first_at, 1e-9), 2)

    def _active(self) -> int:
        fresh = time.monotonic() - limits.publisher_active_s
        return sum(1 for at in self._sources.values() if at > fresh)
