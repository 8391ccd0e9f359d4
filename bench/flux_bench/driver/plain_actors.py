"""What stands beside: a plain Ray actor for each entity, without a log, reminders or supervision."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
import psutil
import ray

from flux_actors.errors import Corrupt
from flux_actors.native.joining import join
from flux_bench.metering import MB, pss

_WITHIN_S: Final = 120.0


class PlainEntity:
    """An entity as people write it on Ray: a dictionary in a process."""

    def __init__(self, entity_id: str) -> None:
        self._entity_id = entity_id
        self._properties: dict[str, Any] = {}

    def pid(self) -> int:
        """Return its process."""
        return psutil.Process().pid

    def change(self, properties: dict[str, Any]) -> int:
        """Take properties; return the sequence before."""
        before = int(self._properties.get("sequence", -1))
        self._properties.update(properties)
        return before


class PlainActors(msgspec.Struct):
    """So many actors, and so many calls one by one and as many pipelined."""

    actors: int
    calls: int

    def run(self) -> dict[str, Any]:
        """Return starts per second, memory of each, and calls per second."""
        join()
        remote: Any = ray.remote(num_cpus=0)(PlainEntity)
        first = remote.remote("first")  # Ray keeps a process or two at hand; that is not what is measured
        ray.get(first.pid.remote(), timeout=_WITHIN_S)
        started = time.perf_counter()
        actors = [remote.remote(f"plain/{number}") for number in range(self.actors)]
        pids = ray.get([actor.pid.remote() for actor in actors], timeout=_WITHIN_S)
        starts_s = time.perf_counter() - started
        processes = [psutil.Process(pid) for pid in pids]
        found = {
            "starts": len(actors) / starts_s,
            "pss_mb": sum(map(pss, processes)) / MB / len(actors),
            "rss_mb": sum(process.memory_info().rss for process in processes) / MB / len(actors),
            "one_by_one": self._one_by_one(first),
            "pipelined": self._pipelined(actors),
        }
        for actor in (first, *actors):
            ray.kill(actor)
        return found

    def _one_by_one(self, actor: Any) -> float:
        started = time.perf_counter()
        for number in range(self.calls):
            before = ray.get(actor.change.remote(_properties(number)))
            if before != number - 1:
                raise Corrupt(f"call {number} came behind {before}")
        return self.calls / (time.perf_counter() - started)

    def _pipelined(self, actors: list[Any]) -> float:
        """Return the rate of calls that are all under way, spread over all actors."""
        each = max(1, self.calls // len(actors))
        started = time.perf_counter()
        answers = [actor.change.remote(_properties(number)) for number in range(each) for actor in actors]
        befores = ray.get(answers, timeout=_WITHIN_S)
        seconds = time.perf_counter() - started
        if befores != [number - 1 for number in range(each) for _ in actors]:
            raise Corrupt("calls of an actor came out of order")
        return len(befores) / seconds


def _properties(number: int) -> dict[str, Any]:
    return {"temperature": number / 7, "status": "active", "sequence": number}
