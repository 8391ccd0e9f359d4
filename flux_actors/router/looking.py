"""Asking shards how they are, and how long one may say nothing before it counts as dead.

A shard answers in two threads: one has the fold and all that is asked of it, the other only tells for how
long users' reducers have kept the first. One that says nothing in both stands still, and that is to be found
soon. One that says something in the second lives but is busy, and to replace it would cost its partitions a
recovery: it gets more time. So does one that has answered slowly of late, or has hardly answered yet: where a
machine has more to do than it can, whoever waits for a core looks as if it stood still.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.errors import FluxError
from flux_actors.router.counting import RouterCounts
from flux_actors.router.shard_host import ShardGone, ShardHost
from flux_actors.shard.partition import PartitionStatus

_log = structlog.get_logger(__name__)
_LOOK_S: Final = 0.75  # the longest answer measured took 0.41 s: a snapshot of five million entities was read
_LOOK_MAX_S: Final = 2.0
_TIMES_ITS_SLOWEST: Final = 4  # of its latest answers
_LATEST: Final = 20
_KNOWN: Final = 8  # answers
_SILENT: Final = 3
_STIRS: Final = 1
_DEAD: Final = 9


class Looks:
    """How shards answer, and have answered lately."""

    def __init__(self, host: ShardHost, counts: RouterCounts) -> None:
        self._host = host
        self._counts = counts
        self._unanswered: dict[str, int] = {}  # in a row, those without any sign of life for more
        self._took_s: dict[str, deque[float]] = {}  # the latest answers

    def forget(self, shard: str) -> None:
        """Note that there is no such shard any more."""
        self._unanswered.pop(shard, None)
        self._took_s.pop(shard, None)

    async def look(self, shard: str) -> list[PartitionStatus] | None:
        """Return the status of a shard; `None` if it has none to give, and is to be waited for.

        One that has missed a look is asked for both at once, so that this takes no longer.

        Raises:
            ShardGone: it is dead, or counts as dead.
        """
        look_s, clock = self._look_s(shard), asyncio.get_running_loop().time
        status, began_s = self._host.status(shard, look_s), clock()
        signs = self._host.reducing_s(shard, look_s) if shard in self._unanswered else asyncio.sleep(0)
        rows, reducing_s = await asyncio.gather(status, signs, return_exceptions=True)
        if isinstance(rows, list):
            self._unanswered.pop(shard, None)
            self._took_s.setdefault(shard, deque(maxlen=_LATEST)).append(clock() - began_s)
            return rows
        if not isinstance(rows, TimeoutError | FluxError):
            raise rows
        if isinstance(reducing_s, float) and 0.0 < reducing_s < limits.reduce_patience_s:
            _log.warning("shard.reducing", shard=shard)  # users' code keeps it from telling, which it may
            return None
        self._counts.unanswered += 1
        stirs = isinstance(rows, TimeoutError) and isinstance(reducing_s, float)  # what fails is not busy
        unanswered = self._unanswered.get(shard, 0) + (_STIRS if stirs else _SILENT)
        self._unanswered[shard] = unanswered
        if unanswered >= _DEAD:
            _log.warning("shard.silent", shard=shard, stirs=stirs)
            raise ShardGone(shard)
        return None

    def _look_s(self, shard: str) -> float:
        """Return how long the shard is waited for."""
        took_s = self._took_s.get(shard, ())
        if len(took_s) < _KNOWN:
            return _LOOK_MAX_S
        return min(_LOOK_MAX_S, max(_LOOK_S, _TIMES_ITS_SLOWEST * max(took_s)))
