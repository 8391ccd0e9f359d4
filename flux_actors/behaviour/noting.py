"""The events that a dispatcher writes about its own work: what is done, who is stopped, and faults."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

from flux_actors import limits
from flux_actors.behaviour.effects import EffectWriters
from flux_actors.domain.acting.faults import fault_id
from flux_actors.domain.clock import iso_of
from flux_actors.domain.event import Event, server_event, with_terms
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import Packed, text_of
from flux_actors.domain.terms import BEHAVIOUR_SOURCE, START, STOP, Order, Terms
from flux_actors.log.block import encode_event

STREAM: Final = "flux.behaviours"
RETRYING: Final = "retrying"
STOPPED: Final = "stopped"
STARTED: Final = "started"
GOES_ON: Final = "goes-on"


class Notes:
    """Writes what the dispatcher of one partition has to note."""

    def __init__(
        self, partition: int, writers: EffectWriters, partitioning: Partitioning, now_us: Callable[[], int]
    ) -> None:
        self._partition = partition
        self._writers = writers
        self._partitioning = partitioning
        self._now_us = now_us
        self.done = 0  # messages, handled or let go
        self.faults = 0

    def handled(self, positions: list[int]) -> None:
        """Note that messages are done; their effects must be durable."""
        self.done += len(positions)
        for first in range(0, len(positions), limits.handled_positions_max):
            some = positions[first : first + limits.handled_positions_max]
            self._write(Terms(handled=some), f"handled.{self._partition}.{some[-1]}")

    async def flushed(self) -> None:
        """Return when everything that was handed over before is durable."""
        await self._writers.flushed()

    def stop(self, entity_id: str, fault: str, position: int) -> asyncio.Future[None]:
        """Note that an entity's behaviour is stopped; return what ends when that is durable."""
        return self._stop(Order(STOP, entity_id, fault[: limits.fault_chars_max], position))

    def stop_as_it_is(self, entity_id: str, fault: str, position: int, state: dict[str, Any] | None) -> None:
        """Stop an entity whose reducer could not decide on an event: it is as `state` says, everywhere."""
        text = fault[: limits.fault_chars_max]
        self._stop(Order(STOP, entity_id, text, position, state, sets_state=True))

    def start(self, entity_id: str) -> asyncio.Future[None]:
        """Note that it is started again; return what ends when that is durable."""
        return self._write(Terms(order=Order(START, entity_id)), f"start.{uuid.uuid4()}")

    def fault(self, entity_id: str, position: int, facts: dict[str, Any]) -> None:
        """Mark an entity with a fault."""
        self.faults += 1
        marked = fault_id(entity_id)
        now_us = self._now_us()
        properties = facts | {
            "entity_id": entity_id,
            "position": text_of(self._partition, Packed(position)),
            "at": iso_of(now_us),
        }
        event_id = f"fault.{self._partition}.{position}.{uuid.uuid4()}"
        event = server_event(marked, properties, event_id, now_us // 1_000, BEHAVIOUR_SOURCE, STREAM)
        # An event with terms: those of this source are nobody's, and are not told as somebody's.
        encoded = encode_event(with_terms(event, Terms()))
        self._writers.write(self._partitioning.of_entity(marked), [encoded])

    def _stop(self, order: Order) -> asyncio.Future[None]:
        digest = blake2b(order.entity_id.encode(), digest_size=8).hexdigest()
        return self._write(Terms(order=order), f"stop.{order.position}.{digest}")

    def _write(self, terms: Terms, event_id: str) -> asyncio.Future[None]:
        event = Event(
            None,
            None,
            event_id,
            named_by_client=False,
            source=BEHAVIOUR_SOURCE,
            stream=STREAM,
            timestamp_ms=self._now_us() // 1_000,
        )
        return self._writers.write(self._partition, [encode_event(with_terms(event, terms))])
