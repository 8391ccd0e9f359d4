"""An event loop on a simulated clock, with several processes in it, each of which may stand still or die.

Time jumps to the next timer: hours of waiting take no time. Nothing comes from outside, so all that happens
follows from what was drawn: callbacks go in the order in which they were asked for, timers of one moment in
that in which they were set, and tasks hash by their number, not by their place in memory, so sets of them are
walked alike in each run.

A process is a context. Whatever is started within one belongs to it: tasks, timers, work for threads,
messages to it. Before each callback the loop looks whose it is. That of a process which stands still is kept
for when it goes on, as the kernel keeps what comes for one that was stopped; that of a dead one is dropped.
So a process dies between any two steps of its code, and no `finally` of it runs: what its code leaves behind
is what a `kill -9` leaves.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar

from tests.simulation.chance import Chance

_T = TypeVar("_T")
_STEPS_MAX: Final = 400_000  # a history takes some thousands; one that goes round for ever is a finding
_THREAD_S: Final = (0.0002, 0.004)
_STALE_MAX: Final = 200
_CLOSES_MAX: Final = 20
PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Stuck(Exception):
    """Everything waits, and nothing will ever happen; or it goes round and round."""


class Process:
    """What lives and dies together."""

    def __init__(self, loop: SimulatedLoop, name: str) -> None:
        self.name = name
        self.lives = True
        self.fuse = 0  # after so many more steps it dies; 0 for never
        self.thread_s = _THREAD_S  # how long work takes that is handed to a thread
        self._loop = loop
        self._held: list[asyncio.Handle] = []
        self.paused = False
        self.context = copy_context()  # whatever runs in it is this process's
        self.context.run(PROCESS.set, self)

    @property
    def stands_still(self) -> bool:
        """Whether nothing of it runs now."""
        return self.paused or not self.lives

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Have it do something."""
        return self._loop.create_task(work, context=self.context)

    def kill(self) -> None:
        """End it between two steps."""
        self.lives = False
        self._held.clear()
        self._loop.note_still(self)

    def pause(self) -> None:
        """Stop it until `resume`, as SIGSTOP does."""
        self.paused = True
        self._loop.note_still(self)

    def resume(self) -> None:
        """Let it go on: what came meanwhile comes now."""
        self.paused = False
        held, self._held = self._held, []
        self._loop.take_back(held)

    def hold(self, handle: asyncio.Handle) -> None:
        """Keep a callback for later; a dead process needs none."""
        if self.lives:
            self._held.append(handle)


class _Task(asyncio.Task):  # type: ignore[type-arg] # of any result
    """A task with a hash that is the same in each run."""

    number = 0
    process: Process | None = None
    _log_destroy_pending: bool  # asyncio's

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The loop of one history."""

    def __init__(self, seed: int) -> None:
        self.steps = 0
        self.faults: list[dict[str, Any]] = []  # what nobody caught
        self.tasks: list[_Task] = []
        self._chance = Chance(seed, "threads")
        self._now_s = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count(1)
        self._cancelled = 0
        self._look = False  # whether any process stands still, or is about to

    def time(self) -> float:
        return self._now_s

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run until `work` is done, and return what it returns.

        Raises:
            Stuck: it never will be.
        """
        events._set_running_loop(self)  # noqa: SLF001 - what every loop does
        try:
            task = self.create_task(work)
            while not task.done():
                self._turn()
            return task.result()
        finally:
            events._set_running_loop(None)  # noqa: SLF001

    def uncaught(self) -> list[str]:
        """Return what nobody caught."""
        found = [f"{fault.get('message')}: {fault.get('exception')!r}" for fault in self.faults]
        looked_at = {id(argument) for handle in self._ready for argument in handle._args or ()}  # noqa: SLF001
        for task in self.tasks:
            if id(task) in looked_at:
                continue  # whoever waits for it is about to look at its end
            if task.process is not None and task.process.stands_still:
                continue  # who would have caught it was not given the time
            if getattr(task.get_coro(), "__name__", "") == "to_thread":
                continue  # whoever waits for a thread looks at its end in its own time
            if task.done() and not task.cancelled() and task._log_traceback:  # noqa: SLF001
                found.append(f"a task failed: {task.exception()!r}")
        return [text for text in found if not text.startswith("Future exception was never retrieved")]

    def discard(self) -> None:
        """Let go of everything that is under way, without running any of it."""
        self._ready.clear()
        self._timers.clear()
        for task in reversed(self.tasks):
            if not task.done():
                task._log_destroy_pending = False  # noqa: SLF001 - it is meant to be
                _close(task.get_coro())
        self.tasks.clear()

    def _turn(self) -> None:
        ready = self._ready
        if not ready:
            self._jump()
        if self.steps > _STEPS_MAX:
            raise Stuck(f"after {self.steps} steps and {self._now_s:.3f} s it still goes on")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:  # noqa: SLF001
                continue
            self.steps += 1
            if self._look:
                process = handle._context.get(PROCESS)  # type: ignore[attr-defined] # noqa: SLF001
                if process is not None:
                    if process.fuse:
                        process.fuse -= 1
                        if not process.fuse:
                            self.on_fuse(process)
                    if process.stands_still:
                        process.hold(handle)
                        continue
            handle._run()  # noqa: SLF001

    def on_fuse(self, process: Process) -> None:
        """Kill a process at the step that was drawn; the world says what else comes of it."""
        process.kill()

    def note_still(self, process: Process) -> None:
        """Look whose callbacks are whose, from now on."""
        self._look = True

    def light(self, process: Process, steps: int) -> None:
        """Have a process die before the step of it that is so many steps away."""
        process.fuse = steps
        self._look = True

    def take_back(self, handles: list[asyncio.Handle]) -> None:
        """Take callbacks that were held."""
        self._ready += handles

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:  # noqa: SLF001
            heapq.heappop(timers)
            self._cancelled -= 1
        if not timers:
            raise Stuck(f"everything waits at {self._now_s:.3f} s, and nothing will ever happen")
        self._now_s = max(self._now_s, timers[0][0])
        while timers and timers[0][0] <= self._now_s:
            self._ready.append(heapq.heappop(timers)[2])

    # What asyncio asks of a loop.

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        handle._scheduled = True  # type: ignore[attr-defined] # noqa: SLF001 - so it tells its end
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._cancelled += 1
        if self._cancelled > _STALE_MAX and 2 * self._cancelled > len(self._timers):
            self._timers = [timer for timer in self._timers if not timer[2]._cancelled]  # noqa: SLF001
            heapq.heapify(self._timers)
            self._cancelled = 0

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, _T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[_T]:
        task = _Task.__new__(_Task)
        task.number = next(self._numbers)
        task.process = PROCESS.get() if context is None else context.get(PROCESS)
        task.__init__(coro, loop=self, name=name, context=context)  # type: ignore[misc]
        self.tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., _T], *args: Any) -> asyncio.Future[_T]:  # type: ignore[override]
        """Have work done by a thread of the process: it takes a while, and is done even if nobody waits."""
        answer: asyncio.Future[_T] = self.create_future()
        process = PROCESS.get()
        least_s, most_s = process.thread_s if process is not None else _THREAD_S

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)

        self.call_later(self._chance.seconds(least_s, most_s), work)
        return answer

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context)


def _close(coroutine: Any) -> None:
    """End a coroutine where it is, what it awaits first; whatever it would do about it, nobody is there."""
    for _ in range(_CLOSES_MAX):
        chain = [coroutine]
        while inspect.iscoroutine(chain[-1].cr_await):
            chain.append(chain[-1].cr_await)
        for one in reversed(chain):
            with suppress(BaseException):
                one.close()
        if inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED:
            return
