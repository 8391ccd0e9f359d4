"""Asking again until there is an answer: shards come back, and a watcher has time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

from flux_actors.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
_RETRY_S: Final = (0.05, 1.0)


async def patiently(ask: Callable[P, Awaitable[T]], *arguments: P.args, **named: P.kwargs) -> T:
    """Return what `ask` answers, asked again while something is away; cancel it to give up."""
    wait_s, most_s = _RETRY_S
    while True:
        try:
            return await ask(*arguments, **named)
        except Unavailable:
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, most_s)
