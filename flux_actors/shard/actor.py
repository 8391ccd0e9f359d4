"""The Ray shell of a shard: a process that opens its connections and is an `EntityShard`."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ray
from ray.exceptions import RayError

from flux_actors import limits
from flux_actors.behaviour.code_store import JetStreamCodeStore
from flux_actors.behaviour.equipment import Equipment
from flux_actors.behaviour.ray_workers import RayWorkers
from flux_actors.behaviour.reducing import ReducerProcess
from flux_actors.errors import Unavailable
from flux_actors.log.bus import NatsBus
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.telling import tell
from flux_actors.logs import set_up_logs
from flux_actors.places.opening import is_url
from flux_actors.router.names import RAY_NAMESPACE, ROUTER_NAME
from flux_actors.shard.cold_lmdb import LmdbColdStore
from flux_actors.shard.collector import collect_young
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.shard.memory import Memory, MemoryPlan
from flux_actors.shard.metering import ShardMeter
from flux_actors.shard.partition import PartitionStatus, PullTracer
from flux_actors.shard.plan import ShardPlan
from flux_actors.snapshot.opening import open_store
from flux_actors.tracing.opening import opened

if TYPE_CHECKING:
    from flux_actors.tracing.traces import Traces

WATCH: Final = "watch"
_ROLE: Final = "shard"
_ESCALATE_S: Final = 10.0


class ShardProcess(EntityShard):
    """An `EntityShard` that makes its own parts; Ray calls `open` before anything else."""

    def __init__(self) -> None:
        set_up_logs()
        # Ray cannot await a constructor: `open` finishes the work of it.
        self._opened = False

    async def open(
        self,
        access: NatsAccess,
        plan: ShardPlan,
    ) -> str:
        """Connect, and return on which Ray node; a second call (after a router's restart) changes nothing."""
        node = ray.get_runtime_context().get_node_id()
        if self._opened:
            return node
        client = self._client = await connect(access, "flux-shard")
        name = ray.get_runtime_context().get_actor_name() or ""
        log, bus = JetStreamLog(client, plan.generation), NatsBus(client, access.site)
        store = open_store(plan.snapshots, plan.generation)
        partitions, memory = plan.partitioning.partitions, _memory(plan.memory)
        super().__init__(log, store, bus, partitions, plan.history_positions, memory, plan.retention)
        self._reducers = ReducerProcess()
        code = await JetStreamCodeStore.open(client, plan.log_replicas)
        traces = opened(plan.traces, _ROLE, name)
        self.tracer = None if traces is None else _tracer(traces)
        self.equipment = Equipment(
            log,
            plan.partitioning,
            code,
            self._reducers,
            RayWorkers(access, plan.partitioning, code, RAY_NAMESPACE),
            _escalate,
            lambda: time.time_ns() // 1_000,
        )
        self._collecting = asyncio.create_task(collect_young())
        self._meter = ShardMeter(self, None if is_url(plan.snapshots) else Path(plan.snapshots))
        self._meter.begin()
        self._telling = await tell(client, _ROLE, self._meter.samples, name=name, site=access.site)
        self._opened = True
        return node

    async def status(self) -> list[PartitionStatus]:
        """Return where each partition is, unless the log has shut us out for good: then be replaced."""
        if self._client.is_closed:
            raise Unavailable("the connection to the log was closed by the server")
        return await super().status()

    # In a thread of its own: the fold waits for reducers, and the loop of all other methods with it.
    @ray.method(concurrency_group=WATCH)
    async def reducing_s(self) -> float:
        """Return for how long reducers have kept this shard from answering, 0.0 if they do not."""
        return self._reducers.busy_s if self._opened else 0.0


async def _escalate(name: str, number: int) -> None:
    """Have a behaviour stopped for all its entities."""
    try:
        router = ray.get_actor(ROUTER_NAME, namespace=RAY_NAMESPACE)
        await asyncio.wait_for(router.escalate.remote(name, number), _ESCALATE_S)
    except (RayError, TimeoutError, ValueError) as error:
        raise Unavailable(f"the router does not answer ({type(error).__name__})") from error


def _tracer(traces: Traces) -> PullTracer:
    from flux_actors.shard.tracing import ShardTracer  # noqa: PLC0415 - loaded only where traces are on

    return ShardTracer(traces)


def _memory(plan: MemoryPlan | None) -> Memory | None:
    return None if plan is None else Memory(plan.bytes_max, partial(_cold_store, plan))


def _cold_store(plan: MemoryPlan) -> LmdbColdStore:
    mapped_bytes_max = max(limits.cold_mapped_bytes_min, plan.bytes_max // limits.cold_mapped_share)
    return LmdbColdStore(plan.folder, mapped_bytes_max)


# Another name than the class: Ray then pickles the class by reference, not with its module's globals.
_remote: Any = ray.remote  # its types do not know these options
RemoteShard = _remote(concurrency_groups={WATCH: 1})(ShardProcess)
