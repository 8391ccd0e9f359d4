"""Shards that are values: who hosts what, who is dead, who does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flux_actors.behaviour.roster import ActorRow, ActorState
from flux_actors.errors import Unavailable
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.router.shard_host import ShardGone
from flux_actors.shard.partition import PartitionStatus

DEADLINE_S = 20.0


@dataclass
class FakeShards:
    """A `ShardHost` in a dictionary."""

    hosted: dict[str, dict[int, int]] = field(default_factory=dict)  # epochs by shard and partition
    totals: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    entities: dict[str, dict[str, object]] = field(default_factory=dict)
    sequence: int = 0
    behaviours: int = 0
    phase: str = "running"
    following: set[tuple[str, int]] = field(default_factory=set)
    following_phase: str = "following"
    behind: int = 0  # blocks that those who follow have not applied
    leads_to_fail: int = 0
    steps: list[tuple[str, str, int]] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    faulty: set[str] = field(default_factory=set)
    reducing: dict[str, float] = field(default_factory=dict)
    starts_to_fail: int = 0
    start_fault: Exception = field(default_factory=TimeoutError)
    asked: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    drained: list[str] = field(default_factory=list)
    acted: list[tuple[int, str, str]] = field(default_factory=list)

    async def start(self, name: str, instead_of: str = "") -> None:
        if self.starts_to_fail:
            self.starts_to_fail -= 1
            raise self.start_fault
        self.started.append(name)
        self.hosted.setdefault(name, {})

    def nodes(self) -> dict[str, str]:
        return dict.fromkeys(self.hosted, "a-node")

    async def names(self) -> list[str]:
        return ["flux-router", *self.hosted]

    async def adopt(self, name: str, partitions: list[int], epoch: int) -> None:
        shard = self._shard(name)
        for partition in partitions:
            shard[partition] = max(epoch, shard.get(partition, 0))
            self.following.discard((name, partition))

    async def follow(self, name: str, partition: int, epoch: int) -> None:
        if partition in self._shard(name):
            return
        self._shard(name)[partition] = epoch
        self.following.add((name, partition))

    async def lead(self, name: str, partition: int, epoch: int, after: int) -> None:
        if self.leads_to_fail:
            self.leads_to_fail -= 1
            raise TimeoutError
        assert after <= self.sequence
        self._shard(name)[partition] = epoch
        self.following.discard((name, partition))
        self.steps.append(("lead", name, partition))

    async def release(self, name: str, partition: int) -> int:
        self._shard(name).pop(partition, None)
        self.following.discard((name, partition))
        self.steps.append(("release", name, partition))
        return self.sequence

    async def status(self, name: str, timeout_s: float) -> list[PartitionStatus]:
        await asyncio.sleep(0)
        self.asked.append(name)
        if name in self.silent:
            raise TimeoutError
        if name in self.faulty:
            raise Unavailable("a partition died")
        return [
            PartitionStatus(
                partition,
                epoch,
                self._phase(name, partition),
                self.sequence - self.behind * ((name, partition) in self.following),
                0,
                0,
                0,
                0,
                0,
                None,
                0,
                0,
                self.behaviours,
            )
            for partition, epoch in self._shard(name).items()
        ]

    async def reducing_s(self, name: str, timeout_s: float) -> float | None:
        return self.reducing.get(name)

    async def namespaces(self, name: str) -> list[tuple[str, int, int]]:
        self._shard(name)
        return self.totals.get(name, [])

    async def properties(self, name: str, partition: int, entity_id: str) -> dict[str, object] | None:
        self._shard(name)
        return self.entities.get(entity_id)

    async def matching(self, name: str, partition: int, prefix: str, limit: int) -> list[str]:
        self._shard(name)
        return [entity_id for entity_id in self.entities if entity_id.startswith(prefix)][:limit]

    async def actors(self, name: str, partition: int, prefix: str, rows_max: int) -> list[ActorRow]:
        self._shard(name)
        idle = ActorState.IDLE
        return [ActorRow(f"{prefix}{partition}", "Fan", 1, "hosted", "0f", False, idle, 0, 0, "", 0, None)]

    async def act_on(self, name: str, partition: int, verb: str, entity_id: str) -> None:
        self._shard(name)
        self.acted.append((partition, verb, entity_id))

    async def drain(self, name: str) -> None:
        self._shard(name)
        if name in self.silent:
            raise TimeoutError
        self.drained.append(name)

    async def kill(self, name: str) -> None:
        self.killed.append(name)
        self.hosted.pop(name, None)

    def dies(self, name: str) -> None:
        """Have the process of a shard end by itself."""
        del self.hosted[name]

    def _phase(self, name: str, partition: int) -> str:
        return self.following_phase if (name, partition) in self.following else self.phase

    def _shard(self, name: str) -> dict[int, int]:
        try:
            return self.hosted[name]
        except KeyError:
            raise ShardGone(name) from None


class FlakyKeyValue(MemoryKeyValue):
    """A store that refuses the next `puts_to_fail` writes, or stores the next without an answer."""

    puts_to_fail = 0
    answers_to_lose = 0

    async def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        if self.puts_to_fail:
            self.puts_to_fail -= 1
            raise Unavailable("the log's key-value store cannot be reached")
        revision = await super().put(key, value, expected)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise Unavailable("the log's key-value store cannot be reached")
        return revision


async def until(condition: Callable[[], Any]) -> None:
    """Return when `condition` holds; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - any condition, so there is no event to wait for
            await asyncio.sleep(0)
