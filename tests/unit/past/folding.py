"""Logs of random blocks, snapshots at chosen places, and what the fold says of each prefix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from flux_actors import limits
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.behaviour.reducing import DirectReducers
from flux_actors.domain.acting.reducers import Reduced, Reducers, ReduceRun
from flux_actors.domain.change import Step
from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.event import TermedEvent
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Unavailable
from flux_actors.log.block import CONTROL, Block, Poison, encode_block, encode_event
from flux_actors.log.memory import MemoryLog
from flux_actors.log.ports import StoredBlock
from flux_actors.past.refolding import Refolder
from flux_actors.shard.partition import decoded
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.memory import MemorySnapshotStore
from tests.unit.domain.acting.small_acting import Functions


class Digests:
    """A code store in which each code is its own digest."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    async def get(self, digest: str) -> bytes:
        if self.away:
            raise Unavailable("the code is away")
        self.asked.append(digest)
        return digest.encode()


class LoadedFunctions(Functions):
    """Reducers of plain functions, which must have been loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: set[str] = set()

    def load(self, digest: str, code: bytes) -> None:
        assert code == digest.encode()
        self.loaded.add(digest)

    def of_partition(self, partition: int) -> Reducers:
        return self

    def close(self) -> None:
        """There is nothing to end."""

    def _run(self, run: ReduceRun) -> list[Reduced]:
        assert run.digest in self.loaded
        return super()._run(run)


class NoCode:
    """A code store of logs without behaviours."""

    async def get(self, digest: str) -> bytes:
        raise AssertionError(digest)


def no_reducers() -> ReducerCode:
    return ReducerCode(DirectReducers(), NoCode())


POISON = b"\xa6poison"
TORN = b"FX\x01 torn"


@dataclass
class Folding:
    """A partition's log in memory with the state that each block of it made."""

    log: MemoryLog = field(default_factory=lambda: MemoryLog(1))
    store: MemorySnapshotStore = field(default_factory=MemorySnapshotStore)
    blocks: list[StoredBlock] = field(default_factory=list)
    digests: Digests = field(default_factory=Digests)

    def __post_init__(self) -> None:
        self.code = ReducerCode(LoadedFunctions(), self.digests)

    @classmethod
    async def of(cls, blocks: Iterable[Block], snapshots: Iterable[int] = ()) -> Folding:
        """Return a log of these blocks, those without events left out, with snapshots behind some of them."""
        folding = cls()
        for block in blocks:
            if block.events:
                await folding.write(encoded(of_one_namespace(block)))
        for sequence in snapshots:
            if sequence <= len(folding.blocks):
                folding.snapshot(sequence)
        return folding

    async def write(self, data: bytes) -> int:
        sequence = await self.log.append(0, data, f"block {len(self.blocks)}", 1.0)
        self.blocks.append(StoredBlock(sequence, data, 0))
        return sequence

    def snapshot(self, sequence: int) -> None:
        """Keep a snapshot of the state behind a block."""
        cut = Cut(self.state(sequence), self.log.log_id)
        sink = self.store.begin(0, sequence)
        while (data := cut.next_slice()) is not None:
            sink.write(data)
        sink.commit()

    def state(self, sequence: int) -> PartitionState:
        """Fold up to a block."""
        state = self.blank()
        state.apply(self._prefix(sequence), feed=False)
        return state

    def blank(self) -> PartitionState:
        """Return the state before the first block."""
        state = PartitionState(0)
        state.acting.reducers = Functions()
        return state

    def seen_at(self, position: int, prefix: str) -> dict[str, Any]:
        """Return what readers see behind the event at a position: what changed up to it, on nothing."""
        found: dict[str, Any] = {}
        for place, entity_id, properties, clock_us in self.changes():
            if place <= position and entity_id.startswith(prefix):
                before = found.pop(entity_id, ({},))
                if properties is not None:
                    found[entity_id] = ({**before[0], **properties}, place, clock_us)
        return found

    def changes(self) -> list[Step]:
        """Return all changes of the log."""
        return self.blank().apply(self._prefix(len(self.blocks))).changes

    def clocks(self) -> list[int]:
        """Return the log's clock behind each block."""
        return [self.state(block.sequence).clock_us for block in self.blocks]

    @property
    def refolder(self) -> Refolder:
        return Refolder(self.log, self.store, self.code)

    def _prefix(self, sequence: int) -> list[tuple[int, Any]]:
        return [(stored.sequence, decoded(stored)) for stored in self.blocks[:sequence]]


def encoded(block: Block) -> bytes:
    events = [POISON if isinstance(event, Poison) else encode_event(event) for event in block.events]
    flags = CONTROL if any(_is_control(event) for event in block.events) else 0
    return encode_block(
        block.committer, block.number, block.clock_us, events, termed=block.has_terms, flags=flags
    )


def _is_control(event: Any) -> bool:
    return isinstance(event, TermedEvent) and event.terms is not None and event.terms.control is not None


def of_one_namespace(block: Block) -> Block:
    """Return a block whose atomic batches are of one namespace each, as doors make them."""
    events = list(block.events)
    for index, event in enumerate(events):
        terms = event.terms if isinstance(event, TermedEvent) else None
        group = events[index : index + terms.together] if terms is not None else []
        if len({namespace_of(one.entity_id or "") for one in group}) > 1:
            events[index] = msgspec.structs.replace(event, terms=msgspec.structs.replace(terms, together=0))
    return block._replace(events=events)


def seen(state: PartitionState, prefix: str = "") -> dict[str, Any]:
    """Return what readers see of the entities whose ids begin with a prefix."""
    return {
        actor.entity_id: (actor.properties, actor.position, actor.updated_us)
        for actor in state.entities.values()
        if actor.lives and actor.entity_id.startswith(prefix)
    }


def place(sequence: int, offset: int) -> int:
    """Return a packed position."""
    return sequence << limits.offset_bits | offset
