"""A state of any size in a data folder, in seconds: a snapshot and a log behind it, as Flux writes them.

To publish five million entities would take minutes. So the snapshot that a stopped Flux left is written again
by the real writer, with all that was in it and as many entities more as are wanted; the log is cut in front
of its end, as a log with a bound is, and gets the blocks of the tail. What a recovery reads is what it always
reads. Each entity's `sequence` says which event it must show.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from flux_actors import limits
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.event import Event
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.position import pack
from flux_actors.log.block import encode_block, encode_events
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.rebuilding import JetStreamRebuilder
from flux_actors.snapshot.codec import Header, SnapshotWriter, encode_row, read_snapshot
from flux_actors.snapshot.files import FileSnapshotStore
from flux_actors.snapshot.store import SnapshotStore
from flux_bench.workload import FIRST
from flux_cluster.data_folder import DataFolder
from flux_cluster.reaching import started

NAMESPACE: Final = "bench-state"
BLOCK_EVENTS: Final = 500
_SYNC: Final = "60s"  # while it is filled: the machine need not survive it
_COMMITTER: Final = 1
_HANDED_BLOCKS: Final = 64


def build(data: Path, entities: int, tail: int) -> None:
    """Give a stopped Flux with one partition so many entities, and a log with so many events behind them."""
    with started(DataFolder(data), sync=_SYNC) as access:
        asyncio.run(_build(access, FileSnapshotStore(data / "snapshots"), entities, tail))


def id_of(number: int) -> str:
    """Return an entity's id."""
    return f"{NAMESPACE}/e-{number:07d}"


def expected(number: int, entities: int, tail: int) -> int:
    """Return the `sequence` of an entity after the whole log."""
    rounds = (tail - 1 - number) // entities + 1 if number < tail else 0
    return FIRST + number + rounds * entities


async def _build(access: NatsAccess, store: SnapshotStore, entities: int, tail: int) -> None:
    client = await connect(access, "bench")
    try:
        log = JetStreamLog(client)
        newest = store.sequences(0)[0]
        header, state = read_snapshot(store.read(0, newest))
        write_snapshot(store, header, state, entities)
        last = (await log.bounds(0)).last
        await log.forget(0, newest + 1)
        rebuilder = JetStreamRebuilder(client)
        pieces = blocks(entities, tail)
        while some := list(itertools.islice(pieces, _HANDED_BLOCKS)):
            await rebuilder.append(0, last + 1, some)
            last += len(some)
    finally:
        await client.close()


def write_snapshot(store: SnapshotStore, header: Header, state: PartitionState, entities: int) -> None:
    """Write a state as a snapshot, and so many entities with it."""
    writer = SnapshotWriter(header)
    sink = store.begin(header.partition, header.sequence)
    window = state.window
    writer.ids(window.elder.ids, elder=True)
    writer.ids(window.younger.ids, elder=False)
    writer.messages(list(state.acting.outbox.messages.values()))
    writer.rows([encode_row(actor.row()) for actor in state.roster])
    for first in range(0, entities, limits.snapshot_slice_entities):
        numbers = range(first, min(first + limits.snapshot_slice_entities, entities))
        writer.rows([encode_row(_row(number, header)) for number in numbers])
        sink.write(writer.take())
    sink.write(writer.finish())
    sink.commit()


def _row(number: int, header: Header) -> EntityRow:
    position = pack(header.sequence, number % limits.block_events_max)
    return EntityRow(id_of(number), _properties(number, number), position, header.clock_us)


def blocks(entities: int, tail: int) -> Iterator[bytes]:
    """Yield the blocks of the tail: event after event, each of the next entity."""
    clock_us = time.time_ns() // 1_000
    for number, first in enumerate(range(0, tail, BLOCK_EVENTS), 1):
        events = [_event(n, entities) for n in range(first, min(first + BLOCK_EVENTS, tail))]
        yield encode_block(_COMMITTER, number, clock_us, [encode_events(events)], len(events))


def _event(number: int, entities: int) -> Event:
    return Event(
        id_of(number % entities),
        _properties(number % entities, entities + number),
        f"0192f0c1-0000-7000-8000-{number:012d}",
        named_by_client=False,
        source="flux-bench",
        stream="bench",
        timestamp_ms=1_700_000_000_000,
    )


def _properties(entity: int, number: int) -> dict[str, Any]:
    return {"temperature": entity / 7, "status": "active", "sequence": FIRST + number}
