"""Asking again until there is an answer: shards come back, and a watcher has time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from flux_actors.errors import Unavailable

T = TypeVar("T")
_RETRY_S: Final = (0.05, 1.0)


async def patiently(ask: Callable[..., Awaitable[T]], *arguments: Any, tries: int | None = None) -> T:
    """Return what `ask` answers, asked again while something is away; cancel it to give up.

    Raises:
        Unavailable: it still is, after so many `tries`.
    """
    wait_s, most_s = _RETRY_S
    tried = 0
    while True:
        try:
            answer = await ask(*arguments)
        except Unavailable:
            tried += 1
            if tried == tries:
                raise
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, most_s)
        else:
            _heed_cancelling()
            return answer


def _heed_cancelling() -> None:
    """End a task that was cancelled: `asyncio.wait_for` of Python 3.11 may hand its answer on instead."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
