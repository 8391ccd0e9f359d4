"""Slow refusals: who asks again and again for what it may not have, does not have the door busy.

A refusal for want of budget is told a while later, and no two in the same millisecond: connections that are
told together come again together, for ever, and whoever comes then waits behind all of them. Their order
stays. When very many are refused, the wait has an end all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flux_actors import limits


class SlowRefusals:
    """The refusals of one door that are not told yet."""

    def __init__(self) -> None:
        self._last_s = 0.0  # when the last of them will be told

    def later(self, tell: Callable[[], None]) -> None:
        """Call `tell` when its time has come."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        earliest_s, latest_s = (now_s + delay_s for delay_s in limits.refusal_delay_s_range)
        self._last_s = min(max(earliest_s, self._last_s + limits.refusal_apart_s), latest_s)
        loop.call_at(self._last_s, tell)
