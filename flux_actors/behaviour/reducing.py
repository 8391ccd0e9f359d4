"""The real `Reducers`: users' reducers in a process of their own, which may loop, hoard and die.

A fold waits for them, so the process is a plain child of the shard and the talk with it is blocking. It is
started when it is needed first, and ended by `close` or with this process. While it works, the parent looks
at its processor time and at the mark, which says what it is at. A child that does not come back is killed;
the event that it was at gets the blame, and a fresh child does the rest. One that was used before may have
been full of what others left behind: when such a one dies by itself, the call is tried once more with a
fresh child before anybody is blamed.

`DirectReducers` is the twin for tests and for folds whose reducers are known to be tame.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
import psutil

from flux_actors.behaviour.reducing_wire import (
    MARK_BYTES,
    MEMORY_STATUS,
    Call,
    Code,
    FrameReader,
    MarkMemory,
    Place,
    ReduceBounds,
    decode_part,
    encode,
    send,
)
from flux_actors.behaviour.reduction import Reduction, Unbounded
from flux_actors.domain.acting.reducers import Reduced, Reducers, ReduceRun
from flux_actors.errors import Unavailable

_MODULE: Final = "flux_actors.behaviour.reducing_child"
_START_S: Final = 60.0
_END_S: Final = 1.0
_STANDARD_ERROR: Final = 2
_CALL_BYTES_MAX: Final = 32 << 20
# The same answers on every machine: hashes, and with them the order of sets, and no threads of libraries.
_ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class ReducerProcess:
    """Reducers in a child process; one call at a time, from any thread."""

    def __init__(self, bounds: ReduceBounds | None = None) -> None:
        self._bounds = bounds or ReduceBounds()
        self._codes: dict[str, bytes] = {}
        self._child: _Child | None = None
        self._lock = threading.Lock()
        self._busy_since_s: float | None = None

    @property
    def busy_s(self) -> float:
        """For how long the call has lasted that is under way, 0.0 when none is; any thread may ask."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @property
    def pid(self) -> int | None:
        """The id of the child, `None` while there is none."""
        return None if self._child is None else self._child.pid

    def load(self, digest: str, code: bytes) -> None:
        """Remember the packed code of a behaviour; every child gets it when it needs it."""
        self._codes[digest] = code

    def forget(self, digest: str) -> None:
        """Let go of a code."""
        self._codes.pop(digest, None)

    def of_partition(self, partition: int) -> Reducers:
        """Return these reducers for the events of a partition, whose number is in their positions."""
        return _OfPartition(self, partition)

    def reduce(self, runs: Sequence[ReduceRun], partition: int = 0) -> list[list[Reduced]]:
        """Return what each event of each run made of its entity.

        Raises:
            Unavailable: a code was not loaded; no child can be started.
        """
        check_known(runs, self._codes)
        if not runs:
            return []
        with self._lock:
            self._busy_since_s = time.monotonic()
            try:
                return self._in_portions(list(runs), partition)
            finally:
                self._busy_since_s = None

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._drop()

    def _in_portions(self, runs: list[ReduceRun], partition: int) -> list[list[Reduced]]:
        """Reduce runs with large states in several calls: a child has to hold one of them."""
        call = encode(Call(partition, runs))
        if len(call) <= _CALL_BYTES_MAX or len(runs) == 1:
            return self._reduce(runs, partition, call)
        half = len(runs) // 2
        return [
            answer
            for portion in (runs[:half], runs[half:])
            for answer in self._in_portions(portion, partition)
        ]

    def _reduce(self, runs: list[ReduceRun], partition: int, call: bytes) -> list[list[Reduced]]:
        blamed: dict[int, Reduced] = {}
        while True:
            child = self._living()
            was_fresh = child.is_fresh
            try:
                for digest in {run.digest for run in runs} - child.codes:
                    child.teach(digest, self._codes[digest])
                answers = child.ask(call, len(runs))
            except _Fell as fell:
                self._drop()
                if not (was_fresh or fell.by_us):
                    continue
                run, fact, _ = fell.place
                if run < 0:
                    raise Unavailable(f"the process of reducers has ended: {fell.text}") from None
                runs[run] = runs[run]._replace(facts=runs[run].facts[:fact])
                blamed[run] = Reduced(None, fell.text, overran=True)
                call = encode(Call(partition, runs))
                continue
            for number, reduced in blamed.items():
                answers[number].append(reduced)
            return answers

    def _living(self) -> _Child:
        if self._child is not None and not self._child.lives:
            self._drop()
        if self._child is None:
            try:
                self._child = _Child(self._bounds)
            except (OSError, EOFError) as error:
                raise Unavailable(f"no process for reducers can be started: {error}") from None
        return self._child

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


class DirectReducers:
    """Reducers in this process, without bounds of time and memory."""

    def __init__(self, bounds: ReduceBounds | None = None) -> None:
        found = bounds or ReduceBounds()
        self._reduction = Reduction(Unbounded(), found.cpu_s, found.load_cpu_s, found.state_bytes_max)
        self._codes: set[str] = set()

    def load(self, digest: str, code: bytes) -> None:
        """Remember the packed code of a behaviour."""
        self._codes.add(digest)
        self._reduction.learn(digest, code)

    def of_partition(self, partition: int) -> Reducers:
        """Return these reducers for the events of a partition."""
        return _OfPartition(self, partition)

    def reduce(self, runs: Sequence[ReduceRun], partition: int = 0) -> list[list[Reduced]]:
        """Return what each event of each run made of its entity; raises `Unavailable` for unknown code."""
        check_known(runs, self._codes)
        found = [
            self._reduction.reduce(partition, number, run, MarkMemory(bytearray(MARK_BYTES)))
            for number, run in enumerate(runs)
        ]
        return msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=list[list[Reduced]])

    def close(self) -> None:
        """There is nothing to end."""


class _OfPartition:
    """Reducers for one partition."""

    def __init__(self, reducers: ReducerProcess | DirectReducers, partition: int) -> None:
        self._reducers = reducers
        self._partition = partition

    def reduce(self, runs: Sequence[ReduceRun]) -> list[list[Reduced]]:
        return self._reducers.reduce(runs, self._partition)


class _Fell(Exception):
    """A child does not come back."""

    def __init__(self, place: Place, text: str, *, by_us: bool) -> None:
        super().__init__(text)
        self.place = place
        self.text = text
        self.by_us = by_us  # it was killed for what it did, rather than died


class _Child:
    """One child process."""

    def __init__(self, bounds: ReduceBounds) -> None:
        self._bounds = bounds
        self.codes: set[str] = set()
        self.is_fresh = True  # nothing of a user's has run in it
        memory = os.memfd_create("flux-mark")
        try:
            os.ftruncate(memory, MARK_BYTES)
            self._memory = mmap.mmap(memory, MARK_BYTES)
            self._mark = MarkMemory(self._memory)
            self._line, theirs = socket.socketpair()
            with theirs:
                self._process = _started(theirs.fileno(), memory)
        finally:
            os.close(memory)
        self._frames = FrameReader(self._line)
        self._watched = psutil.Process(self._process.pid)
        self._meet()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def teach(self, digest: str, code: bytes) -> None:
        """Give it a code."""
        self._send(encode(Code(digest, code)))
        self.codes.add(digest)

    def ask(self, call: bytes, runs: int) -> list[list[Reduced]]:
        """Return what it answers to an encoded call; raises `_Fell` when it does not come back."""
        self.is_fresh = False
        self._mark.clear()
        self._send(call)
        answers: list[list[Reduced]] = [[] for _ in range(runs)]
        patience = Patience(self._bounds)
        while True:
            part = decode_part(self._read(patience))
            for number, reduced in part.runs:
                answers[number].extend(reduced)
            if part.last:
                return answers

    def end(self) -> None:
        """End it, and let go of all that belongs to it."""
        self._line.close()
        self._process.kill()
        self._process.wait()
        self._memory.close()

    def _meet(self) -> None:
        """Wait until it has begun."""
        self._line.settimeout(_START_S)
        try:
            send(self._line, encode(self._bounds))
            self._frames.read()
        except (OSError, EOFError):
            self.end()
            raise

    def _send(self, message: bytes) -> None:
        self._line.settimeout(_START_S)
        try:
            send(self._line, message)
        except OSError:
            raise self._fallen() from None

    def _read(self, patience: Patience) -> bytes:
        self._line.settimeout(self._bounds.look_s)
        while True:
            try:
                return self._frames.read()
            except TimeoutError:
                self._look(patience)
            except (EOFError, OSError):
                raise self._fallen() from None

    def _look(self, patience: Patience) -> None:
        """Kill it when it takes too long."""
        place = self._mark.place
        try:
            times = self._watched.cpu_times()
            sleeps = self._watched.status() == psutil.STATUS_SLEEPING
        except psutil.Error:
            return  # it is gone: the next read says so
        text = patience.ended(place, times.user + times.system, time.monotonic(), sleeps=sleeps)
        if text:
            self._process.kill()
            self._process.wait()
            raise _Fell(place, text, by_us=True)

    def _fallen(self) -> _Fell:
        """Return how it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        status = self._process.poll()
        self._process.kill()
        place = self._mark.place
        if status == MEMORY_STATUS:
            return _Fell(place, f"more than {self._bounds.memory_bytes} bytes of memory", by_us=False)
        if status is not None and status < 0:
            return _Fell(place, f"its process was ended by {signal.Signals(-status).name}", by_us=False)
        return _Fell(place, f"it ended its process with status {status}", by_us=False)


class Patience:
    """How long a child has been at one place."""

    def __init__(self, bounds: ReduceBounds) -> None:
        self._bounds = bounds
        self._place: Place | None = None
        self._cpu_s = 0.0
        self._asleep_since_s: float | None = None

    def ended(self, place: Place, cpu_s: float, now_s: float, *, sleeps: bool) -> str:
        """Return why it has been there for too long, `""` when it has not."""
        if place != self._place:
            self._place, self._cpu_s, self._asleep_since_s = place, cpu_s, None
        if not sleeps:
            self._asleep_since_s = None
        elif self._asleep_since_s is None:
            self._asleep_since_s = now_s
        bounds = self._bounds
        limit_s = bounds.load_cpu_s + bounds.cpu_hard_s if place.loads else bounds.cpu_hard_s
        if place.run >= 0 and cpu_s - self._cpu_s > limit_s:
            return f"more than {limit_s:g} s of processor time"
        if self._asleep_since_s is not None and now_s - self._asleep_since_s > bounds.sleep_s:
            return f"it waited for more than {bounds.sleep_s:g} s; a reducer must not wait for anything"
        return ""


def check_known(runs: Sequence[ReduceRun], codes: set[str] | dict[str, bytes]) -> None:
    """Raise `Unavailable` when the code of a run is not known."""
    for run in runs:
        if run.digest not in codes:
            raise Unavailable(f"the code {run.digest[:16]} of a reducer is not here yet")


def _started(line: int, memory: int) -> subprocess.Popen[bytes]:
    """Start a child: in a session of its own, so that Ctrl-C is for its parent alone."""
    arguments = [str(line), str(memory), str(os.getpid())]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=_STANDARD_ERROR,  # what a reducer prints
        pass_fds=(line, memory),
        env=os.environ | _ENVIRONMENT,
        start_new_session=True,
    )
