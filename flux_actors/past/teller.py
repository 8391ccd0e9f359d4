"""The process that tells the past: it folds, answers, and hands out a list page by page."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeVar

import psutil
import ray
from nats.aio.client import Client

from flux_actors import limits
from flux_actors.behaviour.code_store import CodeStore, JetStreamCodeStore
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.behaviour.reducing import ReducerProcess
from flux_actors.behaviour.reducing_wire import ReduceBounds
from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.telling_thread import TellingThread
from flux_actors.logs import set_up_logs
from flux_actors.past.answering import Answering, pages_of
from flux_actors.past.orders import Order, PagesOrder
from flux_actors.snapshot.opening import open_store

TOO_LONG: Final = (
    f"telling this past took longer than {limits.past_s:.0f} s; ask for a later time, for fewer entities, "
    "or for pages with limit"
)
# What came to an end in a shard must do so here, on a machine that may be slower or busier.
BOUNDS: Final = ReduceBounds(
    cpu_s=2 * limits.reduce_cpu_s,
    cpu_hard_s=2 * limits.reduce_cpu_hard_s,
    sleep_s=2 * limits.reduce_sleep_s,
    memory_bytes=2 * limits.reduce_memory_bytes_max,
)
_T = TypeVar("_T")


class TellerProcess:
    """The body of a Ray actor; its owner asks one thing after the other.

    No method is a coroutine: with one, Ray would run all of them on a loop, and so side by side.
    """

    def __init__(self, access: NatsAccess, snapshots: str, generation: int = 1) -> None:
        set_up_logs()
        os.setpriority(os.PRIO_PROCESS, 0, limits.past_niceness)
        self._access = access
        self._snapshots = snapshots
        self._generation = generation  # of the log
        self._runner = asyncio.Runner()  # one for all calls: the end of a loop would end a list's pages
        self._pages: AsyncGenerator[bytes, None] | None = None
        self._telling = TellingThread(access, "teller").begin()

    def answer(self, order: Order) -> bytes:
        """Return the answer to an order."""
        return self._told(lambda answering: answering.answer(order))

    def first_page(self, order: PagesOrder) -> bytes | None:
        """Fold what a list is made of, let go of the log, and return the list's first page."""
        self._pages = pages_of(self._told(lambda answering: answering.then(order)), order)
        return self.next_page()

    def next_page(self) -> bytes | None:
        """Return the next page of the list, `None` behind the last."""
        return None if self._pages is None else self._runner.run(_next(self._pages))

    def forget(self) -> None:
        """Let go of the list."""
        if self._pages is not None:
            self._runner.run(self._pages.aclose())
            self._pages = None

    def _told(self, ask: Callable[[Answering], Awaitable[_T]]) -> _T:
        return self._runner.run(_with_log(self._access, self._snapshots, self._generation, ask))


async def _with_log(
    access: NatsAccess, snapshots: str, generation: int, ask: Callable[[Answering], Awaitable[_T]]
) -> _T:
    room = _Room()
    client = await connect(access, "flux-past")
    code = ReducerCode(ReducerProcess(BOUNDS), _LateCode(client))
    gc.disable()  # millions of young objects that all stay until the end: nothing to find
    try:
        async with asyncio.timeout(limits.past_s):
            log, store = JetStreamLog(client, generation), open_store(snapshots, generation)
            return await ask(Answering(log, store, code, room))
    except TimeoutError:
        raise Unavailable(TOO_LONG) from None
    finally:
        gc.enable()
        code.close()
        await client.close()


class _LateCode:
    """The code store, opened when the first reducer is met: most pasts have none."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store: CodeStore | None = None

    async def get(self, digest: str) -> bytes:
        """Return code."""
        if self._store is None:
            self._store = await JetStreamCodeStore.open(self._client)
        return await self._store.get(digest)


class _Room:
    """Whether this process may take more memory; what earlier folds left in it is used again."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._bytes_max = self._process.memory_info().rss + limits.past_memory_bytes_max

    def __call__(self) -> bool:
        """Look how much it has by now."""
        return bool(self._process.memory_info().rss < self._bytes_max)


async def _next(pages: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(pages, None)


# Another name than the class: Ray then pickles the class by reference, not with its module's globals.
RemoteTeller = ray.remote(TellerProcess)
