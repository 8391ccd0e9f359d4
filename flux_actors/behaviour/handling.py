"""Handling: runs users' handlers for the messages of a shard, and answers with what they want to be done.

Values come in, values go out: no Ray, no log, no network, but for the port by which an async handler asks
others. A run is what one entity has to do, message after message. It ends with its first fault: the shard
decides what comes of the rest. Whatever a handler raises, or however long it runs, is a fault of its message
alone; its instance is dropped, as nobody knows what state it is in.

Handlers that are not async run in the thread that calls `run`, guarded by the watchdog. Async ones run in the
event loop that calls `run_async`, each of their steps guarded alike.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from flux_actors import limits
from flux_actors.behaviour.acting_entity import EFFECT_SOURCE, ActingEntity, Asker, NoAsker, Scene
from flux_actors.behaviour.behaviour import ON_ASK, ON_CHANGE, ON_REMINDER, ON_TELL
from flux_actors.behaviour.change import Change
from flux_actors.behaviour.codes import Codes, Loaded, LoadedCodes, Method
from flux_actors.behaviour.faults import fault_of
from flux_actors.behaviour.instances import Instances, Kept
from flux_actors.behaviour.plain import encoded, plain
from flux_actors.behaviour.stepping import Steps
from flux_actors.behaviour.watchdog import Guard, Watchdog
from flux_actors.behaviour.wire import (
    RAISED,
    TOO_LONG,
    TOO_MANY,
    Done,
    Fault,
    Orders,
    Question,
    Results,
    Run,
    Work,
)
from flux_actors.domain.acting.catalogue import Bounds
from flux_actors.domain.acting.messages import Message, MessageKind

_HANDLERS: Final = {
    MessageKind.CHANGE: ON_CHANGE,
    MessageKind.REMINDER: ON_REMINDER,
    MessageKind.TOLD: ON_TELL,
}
_NOTHING_DONE: Final = Done()
_TELLING_S: Final = 0.5  # for an exception to say what it is
_CLEANING_S: Final = 5.0  # for an async handler to end after its time was up

Progress = Callable[[int, int], None]  # the numbers of a run and of its item that is about to be tried


_Scenes = dict[str, tuple[Loaded, Scene]]  # by the digest of their code


class _Task(NamedTuple):
    """One call of a handler."""

    kept: Kept
    entity: ActingEntity
    method: Method
    argument: Any
    asked: bool  # somebody waits for the answer


class Handling:
    """Runs handlers; one thread at a time may be in `run`, and one event loop in `run_async`.

    Arguments:
        codes: where code comes from.
        watchdog: that of the process.
        asker: puts the questions of async handlers.
        progress: is told what is about to be tried.
        instances_max: how many entities keep their instance.
        clock_s: for the rate of effects.
        now_ms: the time of effects of questions, in epoch milliseconds.
    """

    def __init__(
        self,
        codes: Codes,
        watchdog: Watchdog,
        asker: Asker | None = None,
        *,
        progress: Progress | None = None,
        instances_max: int = limits.behaviour_instances_max,
        clock_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._codes = LoadedCodes(codes)
        self._watchdog = watchdog
        self._asker: Asker = asker or NoAsker()
        self._progress = progress
        self._instances = Instances(instances_max)
        self._clock_s = clock_s
        self._now_ms = now_ms

    def run(self, orders: Orders) -> Results:
        """Handle orders whose handlers are not async, and return what came of each item."""
        guard, scenes = self._watchdog.guard(), _Scenes()
        return Results(
            [self._run(orders, number, run, guard, scenes) for number, run in enumerate(orders.runs)]
        )

    async def run_async(self, orders: Orders) -> Results:
        """Handle orders of which some handlers are async, run after run."""
        guard, scenes = self._watchdog.guard(), _Scenes()
        return Results(
            [
                await self._run_async(orders, number, run, guard, scenes)
                for number, run in enumerate(orders.runs)
            ]
        )

    def load(self, digest: str) -> None:
        """Load a code before it is needed; if that fails, whoever needs it is told."""
        self._codes.of(digest)

    def forget(self, entity_ids: Iterable[str]) -> None:
        """Let go of the instances of entities that are put to sleep or live elsewhere."""
        self._instances.forget(entity_ids)

    def _run(self, orders: Orders, number: int, run: Run, guard: Guard, scenes: _Scenes) -> list[Done]:
        found = scenes.get(run.digest) or self._found(orders, number, run.digest, scenes)
        if isinstance(found, Fault):
            return [Done(fault=found)]
        code, scene = found
        kept = self._instances.of(run.entity_id, run.digest)
        tried: list[Done] = []
        for index, item in enumerate(run.items):
            self._tell(number, index)
            task = self._task(code, kept, scene, item, guard)
            tried.append(task if isinstance(task, Done) else self._handle(task, scene, guard))
            if tried[-1].fault is not None:
                break
        self._instances.rest(run.entity_id, kept)
        return tried

    async def _run_async(
        self, orders: Orders, number: int, run: Run, guard: Guard, scenes: _Scenes
    ) -> list[Done]:
        found = scenes.get(run.digest) or self._found(orders, number, run.digest, scenes)
        if isinstance(found, Fault):
            return [Done(fault=found)]
        code, scene = found
        kept = self._instances.of(run.entity_id, run.digest)
        tried: list[Done] = []
        for index, item in enumerate(run.items):
            self._tell(number, index)
            task = self._task(code, kept, scene, item, guard)
            if isinstance(task, Done):
                tried.append(task)
            elif task.method.awaits:
                tried.append(await self._handle_async(task, scene, guard))
            else:
                tried.append(self._handle(task, scene, guard))
            if tried[-1].fault is not None:
                break
        self._instances.rest(run.entity_id, kept)
        return tried

    def _tell(self, number: int, index: int) -> None:
        if self._progress is not None:
            self._progress(number, index)

    def _found(
        self, orders: Orders, number: int, digest: str, scenes: _Scenes
    ) -> tuple[Loaded, Scene] | Fault:
        """Return code, and what all runs of it have in common in these orders."""
        self._tell(number, 0)  # loading code may take long, too
        code = self._codes.of(digest)
        if isinstance(code, Fault):
            return code
        source = f"{EFFECT_SOURCE}.{code.name}"
        scene = Scene(orders.partition, orders.settled, source, code.bounds, self._asker, self._now_ms())
        found = scenes[digest] = (code, scene)
        return found

    def _task(
        self, code: Loaded, kept: Kept, scene: Scene, item: Work | Question, guard: Guard
    ) -> _Task | Done:
        """Return the call that an item asks for, or what comes of it when there is none."""
        if isinstance(item, Work):
            subject: Message | Question = item.message
            handler = _HANDLERS[item.message.kind]
            changes = handler == ON_CHANGE
            argument = Change(scene.partition, item.message) if changes else item.message.content
        else:
            subject, handler, argument = item, ON_ASK, item.content
        method = code.methods.get(handler)
        if method is None:
            asked = handler == ON_ASK
            return Done(fault=Fault(RAISED, f"{code.name} defines no {handler}")) if asked else _NOTHING_DONE
        entity = ActingEntity(scene, subject, may_await=method.awaits)
        task = _Task(kept, entity, method, argument, handler == ON_ASK)
        if kept.instance is None:
            try:
                kept.instance = guard.call(code.bounds.handler_s, code.make)
            except BaseException as error:  # noqa: BLE001 - users' code may raise whatever it likes
                return _failed(task, error, code.bounds.handler_s, guard)
        return task

    def _handle(self, task: _Task, scene: Scene, guard: Guard) -> Done:
        """Call a handler that is not async."""
        limit_s = scene.bounds.handler_s
        try:
            answer = guard.call(limit_s, task.method.function, task.kept.instance, task.entity, task.argument)
        except BaseException as error:  # noqa: BLE001 - also what a handler raises to end its process
            return _failed(task, error, limit_s, guard)
        return self._done(task, scene, answer, guard)

    async def _handle_async(self, task: _Task, scene: Scene, guard: Guard) -> Done:
        """Call an async handler: its steps are guarded, and all of it has a time."""
        bounds = scene.bounds
        late = Done(fault=Fault(TOO_LONG, f"{task.method.name} took more than {bounds.async_s:g} s"))
        patience = asyncio.timeout(bounds.async_s)
        try:
            answer = await _within(patience, task, bounds, guard)
        except BaseException as error:
            failed = _failed(task, error, bounds.handler_s, guard)
            if _is_cancelled(error) and not patience.expired():
                raise  # somebody does not want the answer any more
            return late if patience.expired() else failed
        if patience.expired():
            task.kept.instance = None
            return late
        return self._done(task, scene, answer, guard)

    def _done(self, task: _Task, scene: Scene, answer: Any, guard: Guard) -> Done:
        """Return what a handler has made, unless it went beyond a bound."""
        bounds, entity, effects = scene.bounds, task.entity, task.entity.finish()
        fault = entity.fault
        if fault is None and effects and not task.kept.allow(len(effects), bounds, self._clock_s()):
            fault = Fault(TOO_MANY, f"{entity.id[:64]} has more than {bounds.effects_per_s:g} effects per s")
        if fault is None and inspect.iscoroutine(answer):
            answer.close()
            fault = Fault(RAISED, f"{task.method.name} returned a coroutine: write `async def` before it")
        if fault is not None:
            task.kept.instance = None
            return Done(fault=fault)
        if task.asked:
            try:
                return Done(effects, guard.call(bounds.handler_s, _answer, answer, task.method.name))
            except BaseException as error:  # noqa: BLE001 - a mapping of users' own may raise anything
                return _failed(task, error, bounds.handler_s, guard)
        return Done(effects) if effects else _NOTHING_DONE


async def _within(patience: asyncio.Timeout, task: _Task, bounds: Bounds, guard: Guard) -> Any:
    """Return what an async handler returns in its time; a little later it is ended, whatever it does.

    Raises:
        TimeoutError: its time was up.
        BaseException: what it raises.
    """
    coroutine = guard.call(
        bounds.handler_s, task.method.function, task.kept.instance, task.entity, task.argument
    )
    async with asyncio.timeout(bounds.async_s + _CLEANING_S) as last, patience:
        return await Steps(guard, bounds.handler_s, coroutine, last.expired)


def _failed(task: _Task, error: BaseException, limit_s: float, guard: Guard) -> Done:
    """Return the fault of what was raised; the instance is given up."""
    task.kept.instance = None
    task.entity.finish()
    if task.entity.fault is not None:
        return Done(fault=task.entity.fault)
    try:
        return Done(fault=guard.call(_TELLING_S, fault_of, error, task.method.name, limit_s))
    except BaseException:  # noqa: BLE001 - the exception cannot even say what it is
        return Done(fault=Fault(RAISED, type(error).__name__[:64]))


def _answer(answer: Any, method: str) -> Any:
    """Return an answer in its plain form; raises `Refused` for one that has none."""
    name = f"the answer of {method}"
    found = plain(answer, name)
    encoded(found, name, limits.answer_bytes_max)
    return found


def _is_cancelled(error: BaseException) -> bool:
    """Whether this task is to end, as opposed to a handler that raised `CancelledError` itself."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
