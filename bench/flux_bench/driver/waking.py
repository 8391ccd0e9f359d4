"""Waking entities that have left their shard's memory, and have no instance at the worker."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

import flux_actors as flux
from flux_bench.driver.asks import ask_once, told
from flux_bench.driver.behaviours import Answering, entity_of
from flux_bench.latencies import latencies_of

_KIND: Final = "answering"
_APPLIED_S: Final = 120.0
_AGAIN_S: Final = 0.5
_PAD: Final = "x" * 200


class Waking(msgspec.Struct):
    """So many entities are written; then the first of them, which were idle the longest, are asked."""

    entities: int
    samples: int

    def run(self) -> dict[str, Any]:
        """Return the percentiles of the first question of each, and of the second."""
        flux.deploy(Answering)
        return asyncio.run(self._run())

    async def _run(self) -> dict[str, Any]:
        user = await flux.connect_async(source="flux-bench")
        ids = [entity_of(_KIND, number) for number in range(self.entities)]
        await user.publish_many(
            [(one, {"sequence": number, "pad": _PAD}) for number, one in enumerate(ids)], once=False
        )
        last = self.entities - 1
        await _applied(user, ids[last])
        for number in range(last, last - self.samples, -1):
            await ask_once(user, ids, number)  # the worker is there
        cold = [await ask_once(user, ids, number) for number in range(self.samples)]
        warm = [await ask_once(user, ids, number) for number in range(self.samples)]
        await user.close()
        return {"cold": told(latencies_of(cold)), "warm": told(latencies_of(warm))}


async def _applied(user: flux.AsyncFlux, entity_id: str) -> None:
    """Return when everything that was published is applied: until then entities leave memory all the time."""
    async with asyncio.timeout(_APPLIED_S):
        while True:
            try:
                await user.entity(entity_id).state()
            except flux.Unavailable:
                await asyncio.sleep(_AGAIN_S)
            else:
                return
