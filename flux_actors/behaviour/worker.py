"""The worker process: a Ray actor that runs users' code, beside a shard or for one entity alone.

Its event loop stays free: handlers that are not async run in a thread, async ones in a loop of their own in
another. So it answers while they run, and one that hangs is seen from outside by its progress.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import ray

from flux_actors.behaviour.asking import BusAsker
from flux_actors.behaviour.handling import Handling
from flux_actors.behaviour.progress import Progress
from flux_actors.behaviour.watchdog import Watchdog
from flux_actors.behaviour.wire import Results, decode_orders, encode
from flux_actors.domain.partitioning import Partitioning
from flux_actors.log.bus import NatsBus
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.telling_thread import TellingThread
from flux_actors.logs import set_up_logs

# Of Python's collector. Orders are thousands of young objects without cycles: with its own first number (700)
# it walks them while they are decoded, for 4.7 of the 10 µs that a message took (flux_bench.acting_cost). It
# stays on, as users' code may make cycles.
_COLLECT_AT: Final = (50_000, 20, 100)


class WorkerFacts(NamedTuple):
    """Where a worker is."""

    pid: int
    node: str
    progress: str  # the file of it


class KnownCodes(dict[str, bytes]):
    """The code that a worker was given."""

    def code(self, digest: str) -> bytes | None:
        """Return packed code, `None` when it is not here."""
        return self.get(digest)


class WorkerProcess:
    """Runs orders; Ray makes it."""

    def __init__(self, access: NatsAccess, partitioning: Partitioning) -> None:
        set_up_logs()
        gc.freeze()  # what the process is made of stays
        gc.set_threshold(*_COLLECT_AT)
        self._access = access
        self._codes = KnownCodes()
        self._progress = Progress.make()
        asker = BusAsker(self._connect, partitioning)
        self._thread = ThreadPoolExecutor(1, "handlers")
        self._thread_id = self._thread.submit(threading.get_ident).result()
        self._handling = Handling(self._codes, Watchdog(), asker, progress=self._begin)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="async-handlers", daemon=True).start()
        self._telling = TellingThread(access, "worker").begin()

    async def facts(self) -> WorkerFacts:
        """Return where it is."""
        node = ray.get_runtime_context().get_node_id()
        return WorkerFacts(os.getpid(), node, str(self._progress.path))

    async def load(self, digest: str, code: bytes) -> None:
        """Take the code of a behaviour, and load it: what it imports may take longer than a handler may."""
        self._codes[digest] = code
        await asyncio.get_running_loop().run_in_executor(self._thread, self._handling.load, digest)

    async def run(self, orders: bytes, call: int) -> bytes:
        """Handle orders whose handlers are not async; the shard knows this call by its number."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, orders, call)

    async def run_async(self, orders: bytes, call: int) -> bytes:
        """Handle orders of which some handlers are async; the shard sees when this call is at work."""
        work = _marked(self._handling.run_async(decode_orders(orders)), self._progress, call)
        results: Results = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
        return encode(results)

    async def forget(self, entity_ids: list[str]) -> None:
        """Let go of the instances of entities."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._handling.forget, entity_ids)

    def _begin(self, run: int, item: int) -> None:
        """Tell the shard what is begun; many coroutines are at something at once, so not of them."""
        if threading.get_ident() == self._thread_id:
            self._progress(run, item)

    def _run(self, orders: bytes, call: int) -> bytes:
        self._progress.call = call
        try:
            return encode(self._handling.run(decode_orders(orders)))
        finally:
            self._progress.rests()

    async def _connect(self) -> NatsBus:
        return NatsBus(await connect(self._access, "flux-worker"), self._access.site)


async def _marked(work: Coroutine[Any, Any, Results], progress: Progress, call: int) -> Results:
    """Return what a coroutine returns, marking the times when it has the processor."""
    return await _Marked(work, progress, call)


class _Marked:
    """Awaits a coroutine; whatever ends the process meanwhile is seen to have been it, or not."""

    def __init__(self, work: Coroutine[Any, Any, Results], progress: Progress, call: int) -> None:
        self._work = work
        self._progress = progress
        self._call = call

    def __await__(self) -> Generator[Any, Any, Results]:
        step: Callable[[Any], Any] = self._work.send
        value: Any = None
        try:
            while True:
                self._progress.awaits(self._call)
                try:
                    awaited = step(value)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                finally:
                    self._progress.awaits(0)
                try:
                    step, value = self._work.send, (yield awaited)
                except BaseException as error:  # noqa: BLE001 - the coroutine says what becomes of it
                    step, value = self._work.throw, error
        finally:
            self._work.close()


# Another name than the class: Ray then pickles the class by reference, not with its module's globals.
RemoteWorker = ray.remote(WorkerProcess)
