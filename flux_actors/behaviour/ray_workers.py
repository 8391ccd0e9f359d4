"""Workers as Ray actors: one beside the shard for each runtime_env, and one for each entity with its own.

They belong to the shard: Ray ends them with it, and it starts them as they are needed. While one works it is
watched from outside: code that takes too long or too much memory, and cannot be interrupted, ends with its
process. At what it was is read from its progress. Several partitions may share a process, so each call has a
number: those who only waited behind the one that ended it are not to blame.

A process takes a second to start, and those who share it wait that long. So once a place has lost one, a
spare is kept ready for it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
import ray
import structlog
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from flux_actors.behaviour.code_store import CodeStore
from flux_actors.behaviour.lacking import lacking
from flux_actors.behaviour.ports import NOBODY, CodeUnusable, Place, WorkerLost
from flux_actors.behaviour.progress import Progress, Step
from flux_actors.behaviour.wire import LOST, TOO_LARGE, TOO_LONG
from flux_actors.behaviour.worker import RemoteWorker, WorkerFacts
from flux_actors.domain.acting.catalogue import Version
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Corrupt, FluxError, Unavailable
from flux_actors.log.connection import NatsAccess

_log = structlog.get_logger(__name__)
_START_S: Final = 60.0  # a runtime_env may have to be made first
_PATIENCE_S: Final = 2.0  # before whoever waits is told what the cluster lacks
_FREE_S: Final = 10.0  # for Ray to end an actor and let go of its name
_FREE_LOOK_S: Final = 0.05
_CALL_S: Final = 5.0
_LOAD_S: Final = 30.0  # to load a code with all that it imports
_LOADS_MAX: Final = 2  # that fail, then the code is no good
_SPARE_S: Final = 3.0  # until there is a spare, on a busy machine
_LOOK_S: Final = 0.05
_LOOK_AWAITED_S: Final = 0.5  # at coroutines, of which there may be a thousand: each look costs 30 µs
_GRACE_S: Final = 0.5  # beyond which what runs does not hear that its time is up
_CONCURRENCY: Final = 10_000  # calls of coroutines at once


class _Worker:
    """One worker process."""

    def __init__(self, actor: Any, facts: WorkerFacts, node: str) -> None:
        self.actor = actor
        self.facts = facts
        self.loaded: set[str] = set()
        self.ended_for = (LOST, "the process that ran it ended")
        self.process: psutil.Process | None = None
        self.progress: Progress | None = None
        if facts.node == node:  # else its memory and its pid are of another machine
            with suppress(psutil.NoSuchProcess):
                self.process = psutil.Process(facts.pid)
            with suppress(OSError):
                self.progress = Progress(Path(facts.progress))
                self.progress.unlink()

    def kill(self) -> None:
        """End its process, whatever it is doing."""
        if self.process is not None:
            with suppress(psutil.NoSuchProcess):
                self.process.kill()  # not by its pid alone, which may be another's by now
        _kill(self.actor)

    @property
    def lives(self) -> bool:
        """Whether its process is there, as far as can be seen."""
        return self.process is None or self.process.is_running()

    def lost(self, call: int, kind: str, text: str, *, awaits: bool = False) -> WorkerLost:
        """Return what a call of that number raises when it was lost: with what it was at, if that is seen.

        A call of coroutines (`awaits`) is at work for moments only, and is not to blame for what ended the
        process while another one was. It may be when none was: who hoards memory or has threads is not seen.
        """
        lost = WorkerLost(kind, text)
        lost.rest_s = _SPARE_S
        if self.progress is None:
            return lost
        step, awaited = self.progress.read(), self.progress.awaited()
        if not awaits:
            lost.run, lost.item = (step.run, step.item) if step.call == call else (NOBODY, 0)
        elif awaited != call and (awaited or step.call):
            lost.run = NOBODY
        return lost


class _Watch:
    """Looks at a worker during one call: what cannot be interrupted is ended with its process."""

    def __init__(
        self, worker: _Worker, call: int, versions: Iterable[Version], *, awaits: bool = False
    ) -> None:
        bounds = [version.bounds for version in versions]
        self._worker = worker
        self._call = call
        self._awaits = awaits
        self.every_s = _LOOK_AWAITED_S if awaits else _LOOK_S
        self._bytes_max = max(one.memory_bytes for one in bounds)
        self._handler_s = max(one.handler_s for one in bounds)
        self._seen: Step | None = None
        self._seen_at_s = time.monotonic()

    def look(self) -> None:
        """Raise `WorkerLost` when it is too large, or has been at one item for too long."""
        worker = self._worker
        process, progress = worker.process, worker.progress
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                if process.memory_info().rss > self._bytes_max:
                    # Of the calls that share it another may be to blame, which is to hear why as well.
                    worker.ended_for = TOO_LARGE, f"its process took more than {self._bytes_max} bytes"
                    raise worker.lost(self._call, *worker.ended_for, awaits=self._awaits)
        if progress is None:
            return
        step, now_s = progress.read(), time.monotonic()
        if step != self._seen:
            self._seen, self._seen_at_s = step, now_s
        elif step.call == self._call and now_s - self._seen_at_s > self._handler_s + _GRACE_S:
            text = f"it ran for more than {self._handler_s:g} s and did not hear that its time was up"
            raise worker.lost(self._call, TOO_LONG, text)


class RayWorkers:
    """`Workers` on Ray."""

    def __init__(
        self, access: NatsAccess, partitioning: Partitioning, code: CodeStore, ray_namespace: str
    ) -> None:
        self._access = access
        self._partitioning = partitioning
        self._code = code
        self._ray_namespace = ray_namespace
        self._node = ray.get_runtime_context().get_node_id()
        self._workers: dict[Place, _Worker] = {}
        self._starting: dict[Place, asyncio.Task[_Worker]] = {}
        self._spares: dict[Place, asyncio.Task[_Worker]] = {}
        self._calls = itertools.count(1)
        self._failed_loads: Counter[str] = Counter()

    async def run(self, place: Place, versions: dict[str, Version], orders: bytes, *, awaits: bool) -> bytes:
        """Return the results of orders."""
        worker = await self._worker(place)
        number = next(self._calls)
        try:
            for digest in versions.keys() - worker.loaded:
                await self._load(worker, digest)
            run = worker.actor.run_async if awaits else worker.actor.run
            watch = _Watch(worker, number, versions.values(), awaits=awaits)
            return await self._watched(run.remote(orders, number), watch)
        except RayActorError:
            self._lose(place, worker)
            raise worker.lost(number, *worker.ended_for, awaits=awaits) from None
        except (WorkerLost, CodeUnusable):
            self._lose(place, worker)
            raise
        except RayTaskError as error:
            if isinstance(error.cause, FluxError):
                raise error.cause from None
            self._lose(place, worker)
            text = f"its worker failed: {type(error.cause).__name__}"
            raise worker.lost(number, LOST, text, awaits=awaits) from error

    async def forget(self, place: Place, entity_ids: list[str]) -> None:
        """Have instances dropped, or end the process of an entity of its own."""
        worker = self._workers.get(place)
        if worker is None:
            return
        if place.is_own:
            self._drop(place, worker)
            return
        with suppress(RayError, TimeoutError):
            await asyncio.wait_for(worker.actor.forget.remote(entity_ids), _CALL_S)

    def begin(self, place: Place) -> None:
        """Have a process started before it is needed."""
        if place not in self._workers:
            self._start_once(place)

    def node(self, place: Place) -> str:
        """Return the Ray node of a place."""
        if not place.is_own:
            return self._node
        worker = self._workers.get(place)
        return "" if worker is None else worker.facts.node

    async def close(self) -> None:
        """End all."""
        for task in self._starting.values():
            task.cancel()
        for spare in self._spares.values():
            await _end(spare)
        for place, worker in list(self._workers.items()):
            self._drop(place, worker)

    async def _worker(self, place: Place) -> _Worker:
        worker = self._workers.get(place)
        if worker is not None and worker.lives:
            return worker
        if worker is not None:  # it ended while nothing was under way: no fault of what comes next
            self._lose(place, worker)
        task = self._start_once(place)
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE_S)
        if not done and place.is_own:
            # The wish for it stays with Ray meanwhile: a cluster that can grow does so for it.
            why = lacking(place, await asyncio.to_thread(ray.nodes))
            if why:
                raise Unavailable(why)
        return await asyncio.shield(task)

    def _start_once(self, place: Place) -> asyncio.Task[_Worker]:
        task = self._starting.get(place)
        if task is None:
            task = self._starting[place] = asyncio.create_task(self._start(place))
            task.add_done_callback(partial(self._started, place))
        return task

    def _started(self, place: Place, task: asyncio.Task[_Worker]) -> None:
        if self._starting.get(place) is task:
            del self._starting[place]
        if not task.cancelled():
            task.exception()  # whoever waits for it hears of it; nobody need

    async def _start(self, place: Place) -> _Worker:
        spare = self._spares.pop(place, None)
        worker = None if spare is None else await _usable(spare)
        worker = self._workers[place] = worker or await self._made(place)
        if spare is not None:
            self._spares[place] = asyncio.create_task(self._made(place))
        _log.info("worker.started", entity=place.entity_id, node=worker.facts.node, pid=worker.facts.pid)
        return worker

    async def _made(self, place: Place) -> _Worker:
        options = await self._options(place)
        actor: Any = None
        try:
            if place.is_own:
                await asyncio.to_thread(self._free, options["name"])
            actor = RemoteWorker.options(**options).remote(self._access, self._partitioning)
            facts = WorkerFacts(*await asyncio.wait_for(actor.facts.remote(), _START_S))
        except (RayError, TimeoutError, GetTimeoutError, ValueError) as error:
            _kill(actor)
            why = lacking(place, await asyncio.to_thread(ray.nodes))
            raise Unavailable(why or _why_not_started(place, error)) from error
        except BaseException:
            _kill(actor)
            raise
        return _Worker(actor, facts, self._node)

    async def _load(self, worker: _Worker, digest: str) -> None:
        """Have a worker load a code.

        Raises:
            CodeUnusable: it is gone, or ends the process that loads it, or does not come to an end.
            WorkerLost: its process ended, maybe for another reason.
        """
        try:
            code = await self._code.get(digest)
        except Corrupt as error:
            raise CodeUnusable(digest, error.message) from None
        try:
            await asyncio.wait_for(worker.actor.load.remote(digest, code), _LOAD_S)
        except (RayActorError, TimeoutError) as error:
            self._failed_loads[digest] += 1
            ended = isinstance(error, RayActorError)
            if ended and self._failed_loads[digest] < _LOADS_MAX:
                raise WorkerLost(LOST, "the process that loaded its code ended", NOBODY) from None
            why = "ended the process that loaded it" if ended else f"did not load in {_LOAD_S:g} s"
            raise CodeUnusable(digest, f"its code {why}") from None
        del self._failed_loads[digest]
        worker.loaded.add(digest)

    async def _options(self, place: Place) -> dict[str, Any]:
        """Return what to ask Ray for."""
        options: dict[str, Any] = {"max_restarts": 0, "max_concurrency": _CONCURRENCY, "num_cpus": 0}
        if place.environment:
            options["runtime_env"] = msgspec.json.decode(await self._code.get(place.environment))
        dedicated = place.dedicated
        if dedicated is None:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(self._node, soft=False)
            return options
        options |= {
            "name": actor_name(place.entity_id),
            "namespace": self._ray_namespace,
            "num_cpus": dedicated.num_cpus,
            "num_gpus": dedicated.num_gpus,
            "resources": dict(dedicated.resources),
        }
        if place.node:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(place.node, soft=False)
        return options

    def _free(self, name: str) -> None:
        """End an actor that has our name: one of a dead shard, or our last one, which Ray still ends."""
        until_s = time.monotonic() + _FREE_S
        while time.monotonic() < until_s:
            try:
                _kill(ray.get_actor(name, namespace=self._ray_namespace))
            except ValueError:
                return
            time.sleep(_FREE_LOOK_S)

    @staticmethod
    async def _watched(call: Any, watch: _Watch) -> bytes:
        """Return the answer to a call.

        Raises:
            WorkerLost: the worker must be ended.
        """
        answer = asyncio.ensure_future(_awaited(call))
        try:
            while True:
                done, _ = await asyncio.wait({answer}, timeout=watch.every_s)
                if done:
                    return answer.result()
                watch.look()
        finally:
            answer.cancel()

    def _lose(self, place: Place, worker: _Worker) -> None:
        """Let go of a worker that is lost; of a place that many share, the next one must be there soon."""
        self._drop(place, worker)
        if not place.is_own and place not in self._spares:
            self._spares[place] = asyncio.create_task(self._made(place))

    def _drop(self, place: Place, worker: _Worker) -> None:
        if self._workers.get(place) is worker:
            del self._workers[place]
        worker.kill()


async def _usable(spare: asyncio.Task[_Worker]) -> _Worker | None:
    """Return a spare worker, `None` if there is none any more."""
    try:
        worker = await spare
    except Unavailable:
        return None
    return worker if worker.lives else None


async def _end(spare: asyncio.Task[_Worker]) -> None:
    """End a spare worker, or its making."""
    spare.cancel()
    await asyncio.wait([spare])
    if not spare.cancelled() and spare.exception() is None:
        spare.result().kill()


async def _awaited(call: Any) -> bytes:
    answer: bytes = await call
    return answer


def _kill(actor: Any) -> None:
    if actor is not None:
        with suppress(RayError, ValueError):
            ray.kill(actor, no_restart=True)


def actor_name(entity_id: str) -> str:
    """Return the name under which Ray knows the actor of an entity of its own."""
    return f"flux-actor:{entity_id}"


def _why_not_started(place: Place, error: Exception) -> str:
    of = f" of {place.entity_id[:200]!r}" if place.is_own else ""
    if isinstance(error, TimeoutError):
        wanted = "the resources that it asks for may be taken, or its pinned node be gone"
        return f"the worker{of} did not start in {_START_S:g} s: {wanted}"
    return f"the worker{of} could not be started ({type(error).__name__})"
