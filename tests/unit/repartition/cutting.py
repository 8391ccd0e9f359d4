"""Logs of a few blocks, and their copies by another rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flux_actors.domain.event import Event, TermedEvent
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.partitioning import Partitioning
from flux_actors.log.block import Block, Poison, decode_block, encode_block, encode_event
from flux_actors.log.generations import origin_of
from flux_actors.log.ports import StoredBlock
from flux_actors.repartition.merging import FOR_EVER, Merge
from flux_actors.repartition.recutting import Recutter

BEFORE = Partitioning(2)
AFTER = Partitioning(5, frozenset({"a"}))
ORIGIN = origin_of(2)


def bytes_of(block: Block[Any]) -> bytes | None:
    """Return a block as the log has it, `None` of one without events."""
    events = [event for event in block.events if isinstance(event, Event)]
    termed = any(isinstance(event, TermedEvent) for event in events)
    encoded = [encode_event(event) for event in events]
    if not encoded:
        return None
    return encode_block(block.committer, block.number, block.clock_us, encoded, termed=termed)


def split(blocks: Iterable[Block[Any]], rule: Partitioning) -> list[list[StoredBlock]]:
    """Return the blocks of each partition, as doors would have written them."""
    found: list[list[StoredBlock]] = [[] for _ in rule.all()]
    for block in blocks:
        for partition in rule.all():
            mine = [
                event
                for event in block.events
                if not isinstance(event, Poison) and rule.of_entity(event.entity_id or "") == partition
            ]
            data = bytes_of(block._replace(events=mine))
            if data is not None:
                found[partition].append(StoredBlock(len(found[partition]) + 1, data, 0))
    return found


def recutter(before: Partitioning = BEFORE, after: Partitioning = AFTER) -> Recutter:
    log = [PartitionState(partition) for partition in before.all()]
    copy = [PartitionState(partition, ORIGIN - 1) for partition in after.all()]
    return Recutter(before, after, log, copy, identity=77)


def recut(cutter: Recutter, log: Sequence[Iterable[StoredBlock]]) -> list[list[bytes]]:
    """Return the blocks of the copy."""
    merge = Merge(len(log))
    for partition, blocks in enumerate(log):
        merge.add(partition, blocks)
        merge.end(partition, FOR_EVER)
    made: list[list[bytes]] = [[] for _ in cutter.copy]
    for partition, stored in merge.take():
        for target, data in cutter.recut(partition, stored).items():
            made[target].append(data)
    assert len(merge) == 0
    return made


def folded(partition: int, blocks: Iterable[bytes], before: int = ORIGIN - 1) -> tuple[PartitionState, Any]:
    """Fold blocks from nothing; return the state, and what happened to each entity in its order."""
    state = PartitionState(partition, before)
    told: dict[str, list[Any]] = {}
    for sequence, data in enumerate(blocks, before + 1):
        for _, entity_id, properties, clock_us in state.apply([(sequence, decode_block(data))]).changes:
            told.setdefault(entity_id, []).append((properties, clock_us))
    return state, told
