"""The past in processes of its own: Ray tasks, whose workers Ray keeps for a while and gives to the next.

A fold takes all of a core for seconds; in a shard or a door it would hold everybody up. A door has a few
under way at once and lets others wait; one that takes too long, or that nobody waits for any more, is ended.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import psutil
import ray
import structlog
from nats.aio.client import Client
from ray.exceptions import RayError, RayTaskError, WorkerCrashedError

from flux_actors import limits
from flux_actors.behaviour.code_store import CodeStore, JetStreamCodeStore
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.behaviour.reducing import ReducerProcess
from flux_actors.behaviour.reducing_wire import ReduceBounds
from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.logs import set_up_logs
from flux_actors.past.answering import Answering, Then, pages_of
from flux_actors.past.orders import Order, PagesOrder
from flux_actors.past.turns import Turns
from flux_actors.snapshot.files import FileSnapshotStore

# What came to an end in a shard must do so here, on a machine that may be slower or busier.
_BOUNDS: Final = ReduceBounds(
    cpu_s=2 * limits.reduce_cpu_s,
    cpu_hard_s=2 * limits.reduce_cpu_hard_s,
    sleep_s=2 * limits.reduce_sleep_s,
    memory_bytes=2 * limits.reduce_memory_bytes_max,
)
_log = structlog.get_logger(__name__)
_TOO_LONG: Final = (
    f"telling this past took longer than {limits.past_s:.0f} s; ask for a later time, for fewer entities, "
    "or for pages with limit"
)


def answer_in_process(access: NatsAccess, snapshots: Path, order: Order) -> bytes:
    """Return the answer to an order; the body of a Ray task."""
    answer: bytes = asyncio.run(_with_log(access, snapshots, lambda answering: answering.answer(order)))
    return answer


def pages_in_process(access: NatsAccess, snapshots: Path, order: PagesOrder) -> Iterator[bytes]:
    """Yield the pages of an order; the body of a Ray task. The log is let go of before the first."""
    then: Then = asyncio.run(_with_log(access, snapshots, lambda answering: answering.then(order)))
    with asyncio.Runner() as runner:
        pages = pages_of(then, order)
        while (page := runner.run(_next(pages))) is not None:
            yield page


async def _with_log(access: NatsAccess, snapshots: Path, ask: Any) -> Any:
    set_up_logs()
    os.setpriority(os.PRIO_PROCESS, 0, limits.past_niceness)
    room = _Room()
    client = await connect(access, "flux-past")
    code = ReducerCode(ReducerProcess(_BOUNDS), _LateCode(client))
    gc.disable()  # millions of young objects that all stay until the end: nothing to find
    try:
        async with asyncio.timeout(limits.past_s):
            return await ask(Answering(JetStreamLog(client), FileSnapshotStore(snapshots), code, room))
    except TimeoutError:
        raise Unavailable(_TOO_LONG) from None
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


# Other names than the functions: Ray then pickles them by reference, not with their module's globals.
_remote_answer: Any = ray.remote(answer_in_process)
_remote_pages: Any = ray.remote(pages_in_process)
_OPTIONS: Final = {"num_cpus": 0, "max_retries": 0}  # a list that has begun cannot begin anew
_TRIES: Final = 3
_Take = Callable[[Any], Awaitable[bytes | None]]
_STREAMING: Final = {
    "num_returns": "streaming",
    "_generator_backpressure_num_objects": limits.past_pages_ahead,
}


class RayPast:
    """A `Past` that folds in Ray tasks."""

    def __init__(self, access: NatsAccess, snapshots: Path) -> None:
        self._access = access
        self._snapshots = snapshots
        self._folding = Turns(limits.past_at_once, limits.past_waiting_max)
        self._telling = Turns(limits.past_lists_at_once, limits.past_waiting_max)

    async def answer(self, order: Order) -> bytes:
        """Have a task fold and answer."""
        async with self._folding.turn():
            with _errors_in_our_words():
                _, answer = await self._tell(_remote_answer.options(**_OPTIONS), order, _awaited)
        return cast("bytes", answer)

    async def pages(self, order: PagesOrder) -> AsyncGenerator[bytes, None]:
        """Have a task fold, and take its pages as they come; with the first of them it has folded."""
        remote = _remote_pages.options(**_OPTIONS, **_STREAMING)
        until_s = time.monotonic() + limits.past_s
        async with self._telling.turn():
            with _errors_in_our_words():
                async with self._folding.turn():
                    task, page = await self._tell(remote, order, _next_of)
                with _ended_with(task):
                    while page is not None:
                        yield page
                        page = await asyncio.wait_for(_next_of(task), until_s - time.monotonic())

    async def _tell(self, remote: Any, order: Any, take: _Take) -> tuple[Any, bytes | None]:
        """Start a task and return it with the first that it tells.

        A worker that was ended with one task may be given the next before Ray knows that it is gone: then
        that one is started again.
        """
        tries_left = _TRIES
        while True:
            tries_left -= 1
            task = remote.remote(self._access, self._snapshots, order)
            try:
                with _ended_with(task):
                    return task, await asyncio.wait_for(take(task), limits.past_s)
            except WorkerCrashedError:
                if not tries_left:
                    raise


async def _awaited(reference: Any) -> bytes:
    answer: bytes = await reference
    return answer


async def _next_of(pages: Any) -> bytes | None:
    """Return the next page of a streaming task, `None` behind the last."""
    reference = await anext(pages, None)
    return None if reference is None else await reference


@contextmanager
def _ended_with(task: Any) -> Iterator[None]:
    """End a task that has not told all when nobody waits for it any more."""
    try:
        yield
    except BaseException:
        ray.cancel(task, force=True)
        raise


@contextmanager
def _errors_in_our_words() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise Unavailable(_TOO_LONG) from None
    except RayTaskError as error:
        if isinstance(error.cause, FluxError):
            raise error.cause from None
        _log.error("past.failed", error=repr(error.cause))
        raise Unavailable("the past could not be told; try again in a second") from error
    except RayError as error:
        _log.error("past.lost", error=type(error).__name__)
        raise Unavailable("the process that told the past has ended; try again in a second") from error
