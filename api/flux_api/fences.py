"""Fences: knowing that every door goes by a change of the tenants, with nothing of before it under way.

A door reads what other doors changed a few times a second. When it has, it waits until all that it had taken
by then is settled in the log, and tells the others up to which revision it has come. So whoever changes
something that must hold everywhere (a name is hidden, a namespace ends) can wait for that, and needs to
guess no time. A door that is heard of no longer is not waited for: what it had under way is over as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.log.committer import Committer
from flux_api.metrics import Metrics
from flux_api.tenancy import TenancyKeeper

_LOOK_S: Final = 0.01


class Fences:
    """How far this door is, and whether the others are as far."""

    def __init__(self, tenancy: TenancyKeeper, committers: Sequence[Committer], metrics: Metrics) -> None:
        self._tenancy = tenancy
        self._committers = committers
        self._metrics = metrics
        self._moving: asyncio.Task[None] | None = None
        metrics.fence = tenancy.revision
        tenancy.listen(self._on_change)

    async def everywhere(self, revision: int) -> None:
        """Return when every door goes by the tenants of `revision`, with nothing of before under way.

        Raises:
            Unavailable: one of them does not get there.
        """
        deadline = time.monotonic() + limits.tenancy_everywhere_s
        while self._metrics.fence_of_all() < revision:
            if time.monotonic() > deadline:
                raise Unavailable("not every door goes by the change yet; send this again to go on", 5)
            await asyncio.sleep(_LOOK_S)

    def close(self) -> None:
        """Move no further."""
        if self._moving is not None:
            self._moving.cancel()

    def _on_change(self) -> None:
        if self._moving is None:
            self._moving = asyncio.get_running_loop().create_task(self._move())

    async def _move(self) -> None:
        """Come as far as the tenants are known."""
        while self._metrics.fence < self._tenancy.revision:
            revision = self._tenancy.revision
            taken = [committer.taken_total for committer in self._committers]
            while not self._settled(taken):  # noqa: ASYNC110 - committers have no event for it
                await asyncio.sleep(_LOOK_S)
            self._metrics.fence = revision
            with suppress(Unavailable):  # the next beat tells it
                await self._metrics.beat()
        self._moving = None

    def _settled(self, taken: list[int]) -> bool:
        """Whether the committers are done with as many pieces as they had taken by some time."""
        return all(c.settled_total >= count for c, count in zip(self._committers, taken, strict=True))
