"""The port through which the router starts, asks and ends shards."""

from __future__ import annotations

from typing import Protocol

from flux_actors.behaviour.roster import ActorRow
from flux_actors.shard.partition import PartitionStatus


class ShardGone(Exception):
    """The shard's process is dead."""


class ShardHost(Protocol):
    """Starts shards under a name and talks to them by it."""

    async def start(self, name: str, instead_of: str = "") -> None:
        """Start a shard that hosts nothing yet; return when it answers.

        It is not started where the shard failed that it replaces, if there is another place.
        """
        ...

    async def names(self) -> list[str]:
        """Return the names of the shards that live, whoever started them."""
        ...

    async def adopt(self, name: str, partitions: list[int], epoch: int) -> None:
        """Have the shard host partitions."""
        ...

    async def follow(self, name: str, partition: int, epoch: int) -> None:
        """Have the shard fold a partition beside the one that leads it."""
        ...

    async def lead(self, name: str, partition: int, epoch: int, after: int) -> None:
        """Have the shard lead a partition that it follows, once it has applied sequence `after`."""
        ...

    async def release(self, name: str, partition: int) -> int:
        """Have the shard host a partition no longer, and return the last sequence it has applied."""
        ...

    async def status(self, name: str, timeout_s: float) -> list[PartitionStatus]:
        """Return its partitions' status.

        Raises:
            ShardGone: it is dead. TimeoutError: it did not answer.
        """
        ...

    async def reducing_s(self, name: str, timeout_s: float) -> float | None:
        """Return for how long users' reducers have kept the shard from answering; `None` if it says nothing.

        That is told beside all else that a shard does: one that says nothing here does nothing at all.
        """
        ...

    async def namespaces(self, name: str) -> list[tuple[str, int, int]]:
        """Return `(namespace, entities, updated_us)` rows; raises `Unavailable` while recovering."""
        ...

    async def properties(self, name: str, partition: int, entity_id: str) -> dict[str, object] | None:
        """Return the properties of one entity."""
        ...

    async def matching(self, name: str, partition: int, prefix: str, limit: int) -> list[str]:
        """Return up to `limit` ids of living entities beginning with `prefix`."""
        ...

    async def actors(self, name: str, partition: int, prefix: str, rows_max: int) -> list[ActorRow]:
        """Return up to `rows_max` rows of entities with behaviours, those with something to tell first."""
        ...

    async def act_on(self, name: str, partition: int, verb: str, entity_id: str) -> None:
        """Kill, restart or stop the behaviour of an entity; raises `Refused` when it has none."""
        ...

    async def drain(self, name: str) -> None:
        """End it with snapshots."""
        ...

    async def kill(self, name: str) -> None:
        """End its process."""
        ...
