"""The topology: registry of the log, and who owns each partition. Values; the store keeps them as JSON."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from flux_actors.domain.partitioning import Partitioning
from flux_actors.log.generations import origin_of

REGISTRY_BUCKET = "flux_registry"
TOPOLOGY_BUCKET = "flux_topology"
CONFIG_BUCKET = "flux_config"
TENANCY_BUCKET = "flux_tenancy"
LOG_KEY = "log"
STREAMS_KEY = "streams"  # there once all streams of the log were made
HISTORY_KEY = "history"  # the fewest positions of an entity that a shard of this log ever kept
SWITCHING_KEY = "switching"  # there while the log is closed for its next generation to take over
RESTORING_KEY = "restoring"  # there while a restore fills this log: what is here is not whole
TOPOLOGY_KEY = "topology"
TENANCY_KEY = "tenancy"  # there once tokens were on
CONFIG_KEY = "config"
PARTITIONS_DEFAULT = 4
EVERYBODY = ""  # no namespace that has owners is called so


class LogRegistry(msgspec.Struct, frozen=True):
    """Facts that hold as long as a generation of the log does."""

    log_id: str
    partitions: int
    spread: list[str] = []
    generation: int = 1  # `flux repartition` makes the next one (flux_actors/log/generations.py)
    pasts: dict[str, dict[int, int]] = {}  # by namespace: see `past_of`

    def past_of(self, name: str, noted: Mapping[int, int]) -> Mapping[int, int]:
        """Return where the past of a namespace's earlier owners ends in this generation of the log.

        What was noted in this one counts. What was noted in an earlier one was found again when the log was
        copied; of what was noted just then, all that was copied counts as theirs.
        """
        here = {p: last for p, last in noted.items() if last >= origin_of(self.generation) - 1}
        if here or not noted:
            return here
        return self.pasts.get(name) or self.pasts.get(EVERYBODY, {})

    def partitioning(self) -> Partitioning:
        """Return the rule that these facts make."""
        return Partitioning(self.partitions, frozenset(self.spread))


class Owner(msgspec.Struct, frozen=True):
    """The shard actor that hosts a partition since `epoch`."""

    shard: str
    epoch: int


class Topology(msgspec.Struct, frozen=True):
    """Who owns each partition; the index is the partition."""

    registry: LogRegistry
    owners: list[Owner | None]

    def epoch(self, partition: int) -> int:
        """Return the partition's last epoch, 0 before its first owner."""
        owner = self.owners[partition]
        return owner.epoch if owner else 0

    def with_owner(self, partitions: list[int], shard: str, epoch: int) -> Topology:
        """Return the topology after `shard` took over `partitions`."""
        owners = [Owner(shard, epoch) if p in partitions else owner for p, owner in enumerate(self.owners)]
        return Topology(self.registry, owners)


def place(partitions: int, shards: int) -> list[list[int]]:
    """Return the partitions of each shard, evenly and in order."""
    return [list(range(shard, partitions, shards)) for shard in range(shards)]


def encode(value: LogRegistry | Topology) -> bytes:
    """Return the JSON of a registry or topology."""
    return msgspec.json.encode(value)


decode_registry = msgspec.json.Decoder(LogRegistry).decode
decode_topology = msgspec.json.Decoder(Topology).decode
