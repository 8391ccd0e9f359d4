"""Asking entities: round trips from a driver, one after the other and many at once."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any, Final

import msgspec

import flux_actors as flux
from flux_actors.errors import Corrupt
from flux_bench.driver.behaviours import Alone, Answering, entity_of
from flux_bench.latencies import Latencies, latencies_of

_DEADLINE_S: Final = 60.0  # of the first one, which starts a process
_WARM_UP: Final = 20


class Asks(msgspec.Struct):
    """So many questions one by one, and as many of so many askers at once."""

    samples: int
    askers: int
    entities: int
    alone: bool = False  # each entity has an actor of its own

    def run(self) -> dict[str, Any]:
        """Return the percentiles of both, in milliseconds."""
        made = Alone if self.alone else Answering
        flux.deploy(made)
        return asyncio.run(self._run(made.__name__.lower()))

    async def _run(self, kind: str) -> dict[str, Any]:
        ids = [entity_of(kind, number) for number in range(self.entities)]
        user = await flux.connect_async(source="flux-bench")
        await user.publish_many([(one, {"sequence": number}) for number, one in enumerate(ids)])
        for number in (*range(self.entities), *range(_WARM_UP)):
            await ask_once(user, ids, number)
        one = [await ask_once(user, ids, number) for number in range(self.samples)]
        numbers = itertools.count()

        async def ask_on() -> list[float]:
            found = []
            while (number := next(numbers)) < self.samples:
                found.append(await ask_once(user, ids, number))
            return found

        started = time.perf_counter()
        many = await asyncio.gather(*(ask_on() for _ in range(self.askers)))
        seconds = time.perf_counter() - started
        await user.close()
        return {
            "one": told(latencies_of(one)),
            "many": told(latencies_of(itertools.chain(*many))),
            "rate": self.samples / seconds,
        }


async def ask_once(user: flux.AsyncFlux, ids: list[str], number: int) -> float:
    """Return the seconds of one question."""
    place = number % len(ids)
    started = time.perf_counter()
    answer = await user.entity(ids[place]).ask(number, _DEADLINE_S)
    seconds = time.perf_counter() - started
    if answer != [place, number]:
        raise Corrupt(f"{ids[place]} answered {answer} and not {[place, number]}")
    return seconds


def told(latencies: Latencies | None) -> Any:
    """Return percentiles as they travel."""
    return msgspec.to_builtins(latencies)
