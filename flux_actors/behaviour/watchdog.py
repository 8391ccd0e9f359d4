"""The watchdog: interrupts a handler that runs too long, and nothing but that handler.

Python lets one thread have an exception raised in another (`PyThreadState_SetAsyncExc`), some instructions
later. So a shot that was meant for a handler may hit what runs behind it. It never does here:

    handler's thread                            watchdog
    current = number                            firing = True
    the handler runs                            if current is still the number seen: fired = True, shoot
    current = 0                                 firing = False
    firing or fired? then settle

Whoever writes first is seen by the other: either the watchdog finds `current` changed and does not shoot, or
the handler's thread finds `firing` or `fired` set and settles: it waits until the watchdog is done, then
takes back what has not hit yet. Two shots at most can hit on the way there, one that was already on its way
and one that the watchdog was about to fire; `call` expects both. Between the end of the handler and
`current = 0` there is no place where the interpreter looks for such an exception. Where nothing is wrong all
of this costs 0.2 µs.

The watchdog measures by looking: what it finds in two looks has run all the time between. A look counts for
little more than the time between two, so a machine that was paused does not make a handler late.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from flux_actors import limits

_REPEAT_S: Final = 0.1  # between two shots at a handler that goes on
_LOOK_COUNTS_MAX: Final = 5  # times that between two looks
_IDLE_LOOKS: Final = 50  # without a handler, then the watchdog sleeps until there is one
_JOIN_S: Final = 5.0
_Result = TypeVar("_Result")


class Overran(BaseException):
    """Raised in a handler that runs too long: `except Exception` does not catch it."""


class Guard:
    """Calls the handlers of one thread."""

    __slots__ = (
        "_last_s",
        "_number",
        "_seen",
        "_spent_s",
        "_thread",
        "_watchdog",
        "current",
        "fired",
        "firing",
        "limit_s",
    )

    def __init__(self, watchdog: Watchdog, thread: int) -> None:
        self._watchdog = watchdog
        self._thread = thread
        self._number = 0
        self.current = 0  # the number of the call that runs, 0 for none
        self.limit_s = 0.0
        self.firing = False
        self.fired = False
        self._seen = 0  # what the watchdog saw at its last look
        self._spent_s = 0.0
        self._last_s = 0.0

    def call(self, limit_s: float, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Return what a function returns.

        Raises:
            Overran: it ran for longer than `limit_s`.
            BaseException: what it raises.
        """
        self.limit_s = limit_s
        number = self._number = self._number + 1
        try:
            try:
                self.current = number
                if self._watchdog.sleeps:
                    self._watchdog.wake()
                value = function(*arguments)
                self.current = 0
            except BaseException as error:
                self.current = 0
                if (self.firing or self.fired) and not isinstance(error, Overran):
                    raise Overran().with_traceback(error.__traceback__) from None
                raise
            if self.firing or self.fired:
                raise Overran  # noqa: TRY301 - to where a shot that hits late is expected, too
            return value
        except Overran:
            try:
                self._settle()
            except Overran:
                try:
                    self._settle()
                except Overran:
                    self._settle()
            raise

    def look(self, now_s: float, look_s: float) -> bool:
        """See to the call that runs, as the watchdog; return whether there is one."""
        number = self.current
        if number == 0 or number != self._seen:
            self._seen, self._spent_s, self._last_s = number, 0.0, now_s
            return number != 0
        self._spent_s += min(now_s - self._last_s, _LOOK_COUNTS_MAX * look_s)
        self._last_s = now_s
        limit_s = self.limit_s
        if self._spent_s >= limit_s:
            self._spent_s = limit_s - _REPEAT_S
            self._fire(number)
        return True

    def _fire(self, number: int) -> None:
        self.firing = True
        if self.current == number:
            self.fired = True
            _raise_in(self._thread, Overran)
        self.firing = False

    def _settle(self) -> None:
        """Wait for a shot that is being fired, and take back what has not hit yet."""
        while self.firing:
            time.sleep(0)
        _raise_in(self._thread, None)
        self.fired = False


class Watchdog:
    """Looks after the handlers of a process, in a thread of its own that ends with `close`."""

    def __init__(self, look_s: float = limits.behaviour_look_s) -> None:
        self._look_s = look_s
        self._guards: dict[int, Guard] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._woken: SimpleQueue[None] = SimpleQueue()
        self._closed = threading.Event()
        self.sleeps = False

    def guard(self) -> Guard:
        """Return the guard of the thread that calls this."""
        thread = threading.get_ident()
        guard = self._guards.get(thread)
        if guard is None:
            with self._lock:
                guard = self._guards[thread] = Guard(self, thread)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._watch, name="flux-watchdog", daemon=True)
                    self._thread.start()
        return guard

    def wake(self) -> None:
        """Have it look again, as something runs.

        The caller may be shot at in here: a queue in C cannot be left with its lock held, an `Event` can.
        """
        self._woken.put(None)

    def close(self) -> None:
        """End its thread; handlers are not bounded from here on."""
        self._closed.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def _watch(self) -> None:
        idle_looks = 0
        while not self._closed.wait(self._look_s):
            idle_looks = 0 if self._look() else idle_looks + 1
            if idle_looks > _IDLE_LOOKS:
                self._sleep()
                idle_looks = 0

    def _look(self) -> bool:
        """See to all guards; return whether anything runs."""
        now_s = time.monotonic()
        running = [guard.look(now_s, self._look_s) for guard in list(self._guards.values())]
        return any(running)

    def _sleep(self) -> None:
        """Sleep until something runs: what began before `sleeps` was set is seen by the look behind it."""
        self.sleeps = True
        if not self._look() and not self._closed.is_set():
            self._woken.get()
        self.sleeps = False


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Have an exception raised in a thread, soon; `None` takes back one that has not been raised yet."""
    target = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), target)
