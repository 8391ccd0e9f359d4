"""Partitions whose entities act: the real fold, log twin and dispatcher, with workers in this process."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.calls import Answered, Ask, Failed
from flux_actors.behaviour.dispatching import Dispatcher
from flux_actors.behaviour.effects import EffectWriters
from flux_actors.behaviour.watchdog import Watchdog
from flux_actors.domain.acting.catalogue import Catalogue, Deployed, Version
from flux_actors.domain.acting.faults import fault_id
from flux_actors.domain.event import Event, TermedEvent, with_terms
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.terms import Terms
from flux_actors.log.block import decode_block, encode_block, encode_event
from flux_actors.log.committer import Committer
from flux_actors.log.memory import MemoryLog
from tests.unit.behaviour.local_workers import Codes, LocalWorkers, version_of

DEADLINE_S = 20.0
PARTITIONS = 2


def now_us() -> int:
    return time.time_ns() // 1_000


class World:
    """A log of two partitions; each has a fold, and a dispatcher that may be replaced."""

    def __init__(self) -> None:
        self.log = MemoryLog(PARTITIONS)
        self.partitioning = Partitioning(PARTITIONS)
        self.codes = Codes()
        self.watchdog = Watchdog()
        self.workers = LocalWorkers(self.codes, self.watchdog)
        self.states = [PartitionState(partition) for partition in range(PARTITIONS)]
        self.dispatchers: list[Dispatcher | None] = [None] * PARTITIONS
        self.escalated: list[tuple[str, int]] = []
        self.catalogue = Catalogue()
        self.asks = itertools.count()
        self._numbers = itertools.count(1)
        self._folding: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Fold and dispatch from now on."""
        for partition in range(PARTITIONS):
            self.restart(partition)
            self._folding.append(asyncio.create_task(self._fold(partition)))

    async def close(self) -> None:
        for task in self._folding:
            task.cancel()
        for dispatcher in self.dispatchers:
            if dispatcher is not None:
                await dispatcher.close()
        self.watchdog.close()

    def restart(self, partition: int) -> None:
        """Have another dispatcher take over."""
        writers = EffectWriters(lambda number: Committer(self.log, number, next(self._numbers) << 20, now_us))
        dispatcher = Dispatcher(
            self.states[partition], self.workers, writers, self.partitioning, self._escalate, now_us
        )
        self.dispatchers[partition] = dispatcher
        dispatcher.begin()

    async def deploy(self, *made: type[Behaviour]) -> list[Version]:
        """Deploy classes in place of all that is deployed."""
        number = self.catalogue.revision + 1
        versions = [version_of(one, self.codes, number) for one in made]
        deployed = [Deployed(one.__name__, version) for one, version in zip(made, versions, strict=True)]
        await self.control(Catalogue(number, deployed))
        return versions

    async def control(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        note = with_terms(Event(None, None, "c", False, "s", "t", 1), Terms(control=catalogue))
        for partition in range(PARTITIONS):
            await self._append(partition, note)
        await self.until(lambda: all(s.acting.catalogue.revision == catalogue.revision for s in self.states))

    async def publish(self, entity_id: str, properties: dict[str, Any], terms: Terms | None = None) -> int:
        """Publish an event; return its packed position once it is applied."""
        event = Event(entity_id, properties, f"e{next(self._numbers)}", False, "s", "t", 1)
        partition = self.partitioning.of_entity(entity_id)
        sequence = await self._append(partition, event if terms is None else with_terms(event, terms))
        await self.until(lambda: self.states[partition].sequence >= sequence)
        return sequence << 12

    async def note(self, partition: int, terms: Terms) -> None:
        """Write a note, as a dispatcher does."""
        await self._append(partition, with_terms(Event(None, None, "n", False, "s", "t", 1), terms))

    async def publish_all(self, entities: dict[str, dict[str, Any]]) -> None:
        """Publish events of one partition in one block."""
        events = [Event(key, value, "made", False, "s", "t", 1) for key, value in entities.items()]
        await self._append(self.partitioning.of_entity(next(iter(entities))), *events)

    async def ask(self, entity_id: str, content: Any, deadline_s: float = DEADLINE_S) -> Answered | Failed:
        dispatcher = self.dispatchers[self.partitioning.of_entity(entity_id)]
        assert dispatcher is not None
        return await dispatcher.ask(Ask(entity_id, content, f"ask-{next(self.asks)}", 0, deadline_s))

    def state_of(self, entity_id: str) -> dict[str, Any] | None:
        actor = self.states[self.partitioning.of_entity(entity_id)].entities.get(entity_id)
        return None if actor is None else actor.properties

    def fault_of(self, entity_id: str) -> dict[str, Any] | None:
        return self.state_of(fault_id(entity_id))

    async def idle(self) -> None:
        """Return when no message waits and everything is applied."""
        async with asyncio.timeout(DEADLINE_S):
            while not await self._is_idle():  # noqa: ASYNC110 - the log is no event to wait for
                await asyncio.sleep(0.001)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - the conditions are many
                await asyncio.sleep(0.001)

    def waiting(self) -> int:
        return sum(len(state.acting.outbox) for state in self.states)

    async def _is_idle(self) -> bool:
        ends = [(await self.log.bounds(partition)).last for partition in range(PARTITIONS)]
        applied = [state.sequence for state in self.states]
        return applied == ends and not self.waiting()

    async def _append(self, partition: int, *events: Event) -> int:
        number = next(self._numbers)
        termed = any(isinstance(event, TermedEvent) for event in events)
        encoded = [encode_event(event) for event in events]
        data = encode_block(7, number, now_us(), encoded, termed=termed)
        return await self.log.append(partition, data, f"test-{number}", 1.0)

    async def _fold(self, partition: int) -> None:
        reader = self.log.reader(partition, self.states[partition].sequence)
        while True:
            blocks = await reader.pull(0.01)
            state, dispatcher = self.states[partition], self.dispatchers[partition]
            if blocks and dispatcher is not None:
                applied = state.apply([(one.sequence, decode_block(one.data)) for one in blocks])
                dispatcher.report(applied.faults)
                dispatcher.offer(applied.messages)
            await asyncio.sleep(0)

    async def _escalate(self, name: str, number: int) -> None:
        self.escalated.append((name, number))
