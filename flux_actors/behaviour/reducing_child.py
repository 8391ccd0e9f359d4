"""The process that runs reducers for a shard: `python -m flux_actors.behaviour.reducing_child`.

It starts with what a reducer needs and no more, takes orders over the socket it was given, and ends with its
parent, however that ends. Its bounds: an interval timer counts its processor time and interrupts a reducer;
the address space is limited. When memory runs out it ends at once, as nothing in it can be trusted then; the
parent knows from the mark who it was.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn, TypeVar

from flux_actors.behaviour.reducing_wire import (
    MARK_BYTES,
    MEMORY_STATUS,
    PART_BYTES,
    Call,
    FrameReader,
    MarkMemory,
    ReduceBounds,
    decode_bounds,
    decode_request,
    encode,
    send,
)
from flux_actors.behaviour.reduction import Outcome, Reduction
from flux_actors.behaviour.watchdog import Overran

_PR_SET_PDEATHSIG: Final = 1
_STATM: Final = Path("/proc/self/statm")  # getrusage counts what the parent had, too
_Result = TypeVar("_Result")


class Alarm:
    """Interrupts calls by the processor time that they take.

    The timer ticks while there is something to do. A call that two ticks have seen has run all the time
    between, so a call costs nothing but a number. Python runs the handler of the signal in this very thread,
    between two instructions, so it cannot hit what is behind a call: `running` is 0 by then.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._number = 0
        self._limit_s = 0.0
        self._seen = 0
        self._ticks = 0
        self.running = 0

    def start(self) -> None:
        """Begin to tick."""
        signal.signal(signal.SIGPROF, self._tick)

    def tick(self, *, on: bool) -> None:
        """Tick, or do not."""
        every_s = self._tick_s if on else 0.0
        signal.setitimer(signal.ITIMER_PROF, every_s, every_s)

    def call(self, limit_s: float, function: Callable[..., _Result], *arguments: Any) -> _Result:
        self._limit_s = limit_s
        number = self._number = self._number + 1
        try:
            self.running = number
            value = function(*arguments)
            self.running = 0
        except BaseException:
            self.running = 0
            raise
        return value

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        if self.running == 0 or self.running != self._seen:
            self._seen, self._ticks = self.running, 0
            return
        self._ticks += 1
        if self._ticks * self._tick_s >= self._limit_s:
            raise Overran


class Child:
    """Answers the calls of one shard."""

    def __init__(self, line: socket.socket, mark: MarkMemory) -> None:
        self._line = line
        self._mark = mark
        self._frames = FrameReader(line)

    def serve(self) -> None:
        """Answer until the shard is gone."""
        bounds = decode_bounds(self._frames.read())
        alarm = Alarm(bounds.look_s)
        alarm.start()
        _limit_memory(bounds)
        reduction = Reduction(alarm, bounds.cpu_s, bounds.load_cpu_s, bounds.state_bytes_max)
        gc.freeze()
        send(self._line, encode("ready"))
        while True:
            match decode_request(self._frames.read()):
                case Call() as call:
                    alarm.tick(on=True)
                    self._answer(call, reduction)
                    alarm.tick(on=False)
                case code:
                    reduction.learn(code.digest, code.code)
            if _memory_bytes() > bounds.memory_bytes // 2:
                return  # something grows: the next child begins with nothing

    def _answer(self, call: Call, reduction: Reduction) -> None:
        runs: list[tuple[int, list[Outcome]]] = []
        size = 0
        for number, run in enumerate(call.runs):
            outcomes: list[Outcome] = []
            runs.append((number, outcomes))
            for outcome in reduction.reduce(call.partition, number, run, self._mark):
                outcomes.append(outcome)
                size += 0 if outcome.state is None else len(memoryview(outcome.state))
                if size > PART_BYTES:
                    send(self._line, encode((runs, False)))
                    outcomes = []
                    runs, size = [(number, outcomes)], 0
        self._mark.clear()
        send(self._line, encode((runs, True)))


def main(line_fd: int, mark_fd: int, parent: int) -> None:
    """Serve the shard that has started this process."""
    _end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = socket.socket(fileno=line_fd)
    mark = MarkMemory(mmap.mmap(mark_fd, MARK_BYTES))
    try:
        Child(line, mark).serve()
    except (EOFError, ConnectionError):
        return
    except MemoryError:
        os._exit(MEMORY_STATUS)


def _end_with(parent: int) -> None:
    """Have the system end this process with its parent; end now if that is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit()


def _limit_memory(bounds: ReduceBounds) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    allowed = bounds.memory_bytes if most == resource.RLIM_INFINITY else min(bounds.memory_bytes, most)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _memory_bytes() -> int:
    """Return what this process has in memory."""
    return int(_STATM.read_text().split()[1]) * resource.getpagesize() if sys.platform == "linux" else 0


def _run() -> NoReturn:
    main(*(int(number) for number in sys.argv[1:4]))
    sys.exit()


if __name__ == "__main__":
    _run()
