"""What a run of `--scale` found: points, each of which was verified."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Load(StrEnum):
    """What clients do."""

    SINGLES = "singles"
    BATCHES = "batches"
    READS = "reads"
    WATCHERS = "watchers"


class LoadPoint(msgspec.Struct, frozen=True):
    """One load on so many shards and doors, whose processes were pinned to cores.

    `rate` is in what the load counts (events, reads, messages), and `cpu_us` the processor time of each part
    for one of them, all processes of the part together. So are `network_bytes` (all between all processes)
    and `log_bytes` (what nats-server wrote). `cores` says for each core which processes had it. `per_event`
    is how many of what is counted one event makes.
    """

    load: Load
    shards: int
    doors: int
    rate: float
    cpu_us: dict[str, float]
    network_bytes: float
    log_bytes: float
    block_events: float  # in a block of the log, on average
    cores: list[list[str]]
    per_event: int = 1
    p99_ms: float | None = None


class Syncs(msgspec.Struct, frozen=True):
    """How many messages a second nats-server makes durable here: in one stream, and in several at once."""

    one_stream: float
    streams: int
    together: float


class RecoveryPoint(msgspec.Struct, frozen=True):
    """A shard that came back: entities of its snapshot, events of the log behind it, seconds.

    `own_s` is from the shard's begin to its place in the log, `up_s` from `flux up` to the first answer.
    """

    entities: int
    tail: int
    own_s: float
    up_s: float
    snapshot_mb: float
    memory_mb: float


class Moved(msgspec.Struct, frozen=True):
    """One partition that changed its shard: seconds in all, and milliseconds in which nobody led it."""

    seconds: float
    between_ms: float


class MovePoint(msgspec.Struct, frozen=True):
    """Partitions that moved under load, and the longest waits of clients meanwhile, and without moves."""

    entities: int
    moves: list[Moved]
    events_per_s: float
    write_ms_max: float
    read_ms_max: float
    calm_write_ms_max: float
    calm_read_ms_max: float


class Scale(msgspec.Struct, frozen=True):
    """All of it; `reasons` are why a series ended early."""

    loads: list[LoadPoint] = []
    syncs: Syncs | None = None
    entities: list[RecoveryPoint] = []
    tails: list[RecoveryPoint] = []
    moves: list[MovePoint] = []
    reasons: list[str] = []
