"""What a shard needs so that its entities can act: code, reducers, workers, and a way into the log."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from flux_actors.behaviour.code_store import CodeStore
from flux_actors.behaviour.dispatching import Dispatcher
from flux_actors.behaviour.effects import EffectWriters
from flux_actors.behaviour.ports import Escalate, Workers
from flux_actors.domain.acting.catalogue import Catalogue
from flux_actors.domain.acting.reducers import Reducers
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.partitioning import Partitioning
from flux_actors.log.committer import Committer
from flux_actors.log.ports import EventLog


class LoadedReducers(Protocol):
    """Reducers whose code is given to them."""

    def load(self, digest: str, code: bytes) -> None:
        """Take the code of a behaviour."""
        ...

    def of_partition(self, partition: int) -> Reducers:
        """Return those of one partition's state."""
        ...

    def close(self) -> None:
        """End what runs them."""
        ...


@dataclass(slots=True)
class Equipment:
    """One per shard; its partitions share the processes."""

    log: EventLog
    partitioning: Partitioning
    code: CodeStore
    reducers: LoadedReducers
    workers: Workers
    escalate: Escalate
    now_us: Callable[[], int]
    _loaded: set[str] = field(default_factory=set)

    async def prepare(self, catalogue: Catalogue) -> None:
        """Have the code of all reducers at hand: the fold cannot wait for it.

        Raises:
            Unavailable: it cannot be had now. Corrupt: it is gone.
        """
        wanted = {
            version.digest
            for one in catalogue.deployed
            for version in (one.stable, one.canary)
            if version is not None and "reduce" in version.handles
        }
        for digest in sorted(wanted - self._loaded):
            code = await self.code.get(digest)
            await asyncio.to_thread(self.reducers.load, digest, code)
            self._loaded.add(digest)

    def dispatcher(self, state: PartitionState) -> Dispatcher:
        """Return a dispatcher for a partition, which begins with what its outbox has."""
        writers = EffectWriters(
            lambda partition: Committer(self.log, partition, secrets.randbits(63), self.now_us)
        )
        dispatcher = Dispatcher(state, self.workers, writers, self.partitioning, self.escalate, self.now_us)
        dispatcher.begin()
        return dispatcher
