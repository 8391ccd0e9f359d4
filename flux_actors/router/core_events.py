"""Events of the server's own entities, which clients read and cannot write."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from flux_actors.domain.entity_id import CORE_NAMESPACE
from flux_actors.domain.event import server_event, tombstone
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.log.block import encode_event
from flux_actors.log.committer import Committer
from flux_actors.log.ports import EventLog


class CoreEvents:
    """Commits them, each to the partition of its entity."""

    def __init__(
        self,
        log: EventLog,
        partitioning: Partitioning,
        identity: Callable[[], int],
        now_us: Callable[[], int],
    ) -> None:
        self._log = log
        self._partitioning = partitioning
        self._identity = identity
        self._now_us = now_us
        self._committers: dict[int, Committer] = {}

    def partition_of(self, entity_id: str) -> int:
        """Return where the events of an entity go."""
        return self._partitioning.of_entity(entity_id)

    async def write(self, entity_id: str, properties: dict[str, Any] | None, stream: str) -> None:
        """Set properties of an entity, or delete it for `None`; return when that is durable.

        Raises:
            Unavailable: it is not known to be.
        """
        now_ms, event_id = self._now_us() // 1_000, str(uuid.uuid4())
        if properties is None:
            event = tombstone(entity_id, event_id, now_ms, CORE_NAMESPACE)
        else:
            event = server_event(entity_id, properties, event_id, now_ms, CORE_NAMESPACE, stream)
        (outcome,) = await self._committer(entity_id).commit([encode_event(event)])
        if isinstance(outcome, Unavailable):
            raise outcome

    def _committer(self, entity_id: str) -> Committer:
        partition = self.partition_of(entity_id)
        if partition not in self._committers:
            self._committers[partition] = Committer(self._log, partition, self._identity(), self._now_us)
        return self._committers[partition]
