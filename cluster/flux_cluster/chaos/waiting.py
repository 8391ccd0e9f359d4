"""Waiting for something that must come, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

from flux_actors.errors import Unavailable

_POLL_S: Final = 0.05
_Found = TypeVar("_Found")


async def until(condition: Callable[[], _Found], timeout_s: float, what: str) -> _Found:
    """Return the first truth of `condition`, which may block for a moment: it is asked in a thread.

    Raises:
        Unavailable: it did not come in time; `what` says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = await asyncio.to_thread(condition)
        if found:
            return found
        if time.monotonic() > deadline:
            raise Unavailable(f"waited {timeout_s:.0f} s in vain for {what}")
        await asyncio.sleep(_POLL_S)
