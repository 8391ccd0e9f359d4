"""What a shard needs so that its entities can act: code, reducers, workers, and a way into the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from flux_actors.behaviour.code_store import CodeStore
from flux_actors.behaviour.dispatching import Dispatcher
from flux_actors.behaviour.effects import EffectWriters
from flux_actors.behaviour.ports import Escalate, Workers
from flux_actors.behaviour.reducer_code import LoadedReducers, ReducerCode
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.partitioning import Partitioning
from flux_actors.log.committer import Committer
from flux_actors.log.ports import EventLog
from flux_actors.surroundings import HERE


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
    identity: Callable[[], int] = HERE.identity  # of each committer
    reducer_code: ReducerCode = field(init=False)

    def __post_init__(self) -> None:
        self.reducer_code = ReducerCode(self.reducers, self.code)

    def dispatcher(self, state: PartitionState) -> Dispatcher:
        """Return a dispatcher for a partition, which begins with what its outbox has."""
        writers = EffectWriters(
            lambda partition: Committer(self.log, partition, self.identity(), self.now_us)
        )
        dispatcher = Dispatcher(state, self.workers, writers, self.partitioning, self.escalate, self.now_us)
        dispatcher.begin()
        return dispatcher
