"""The fold: blocks of one partition in, entity actors and changes out.

How a pull is applied: every block must follow the one before (sequence + 1). A block whose committer
has already had that number applied is skipped whole. Each event is looked up in the dedupe window,
then put in the mailbox of its entity actor; when all blocks are sorted, each actor receives its merged
run once. The changes come back in log order. Nothing here depends on how the log was cut into pulls,
so live operation, replay, and snapshot plus tail give the same state, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from flux_actors import limits
from flux_actors.domain.change import Change
from flux_actors.domain.dedupe import DedupeWindow, dedupe_key
from flux_actors.domain.entity import EntityActor, Step
from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.event import Event
from flux_actors.domain.position import pack
from flux_actors.errors import Corrupt

_COMMITTERS_MAX: Final = 10_000


class PoisonLike(Protocol):
    """An event that could not be read."""

    @property
    def reason(self) -> str:
        """Why it could not be read."""
        ...


class BlockLike(Protocol):
    """What the fold reads of a block."""

    @property
    def committer(self) -> int: ...
    @property
    def number(self) -> int: ...
    @property
    def clock_us(self) -> int: ...
    @property
    def events(self) -> Iterable[Event | PoisonLike]: ...


class Witness(Protocol):
    """Sees each actor before it changes: a running snapshot cut."""

    def before_change(self, actor: EntityActor) -> None: ...


class SetAside(NamedTuple):
    """A poisonous event: where it stands and why it could not be applied."""

    position: int
    reason: str


class Applied(NamedTuple):
    """What one pull did."""

    changes: list[Change]
    sources: list[str]
    poison: list[SetAside]


@dataclass(slots=True)
class NamespaceTotals:
    """What the directory tells of a namespace."""

    entities: int = 0
    updated_us: int = 0


@dataclass(slots=True)
class PartitionState:
    """Everything that the log of one partition makes."""

    partition: int
    sequence: int = 0
    clock_us: int = 0
    events_total: int = 0
    entities: dict[str, EntityActor] = field(default_factory=dict)
    alive: int = 0
    namespaces: dict[str, NamespaceTotals] = field(default_factory=dict)
    window: DedupeWindow = field(default_factory=DedupeWindow)
    committers: dict[int, int] = field(default_factory=dict)
    poison: list[SetAside] = field(default_factory=list)
    cut_number: int = 0
    witness: Witness | None = None

    def apply(self, blocks: Iterable[tuple[int, BlockLike]]) -> Applied:
        """Apply blocks that follow the last one applied.

        Raises:
            Corrupt: a block does not follow the one before it.
        """
        runs: dict[str, list[Step]] = {}
        changes: list[Change | None] = []
        sources: set[str] = set()
        poison_before = len(self.poison)
        for sequence, block in blocks:
            self._open(sequence, block.clock_us)
            if not self._repeated(block):
                self._sort(sequence, block, runs, changes, sources)
        for entity_id, run in runs.items():
            self._deliver(entity_id, run, changes)
        poison = self.poison[poison_before:]
        del self.poison[: -limits.poison_kept_max]
        return Applied([change for change in changes if change is not None], sorted(sources), poison)

    def skip(self, sequence: int, reason: str) -> None:
        """Set a whole unreadable block aside and go on behind it."""
        self._open(sequence, self.clock_us)
        self.poison.append(SetAside(pack(sequence, 0), reason))
        del self.poison[: -limits.poison_kept_max]

    def adopt(self, actor: EntityActor) -> None:
        """Take in an actor from a snapshot."""
        self.entities[actor.entity_id] = actor
        self._count(namespace_of(actor.entity_id), int(actor.lives), actor.updated_us)

    def living(self, ids: Iterable[str]) -> Iterator[EntityActor]:
        """Yield the actors of those ids that exist for readers."""
        for entity_id in ids:
            actor = self.entities.get(entity_id)
            if actor is not None and actor.properties is not None:
                yield actor

    def _open(self, sequence: int, clock_us: int) -> None:
        if sequence != self.sequence + 1:
            raise Corrupt(
                f"partition {self.partition}: block {sequence} came after {self.sequence}; the log has a gap"
            )
        self.sequence = sequence
        self.clock_us = max(self.clock_us, clock_us)

    def _repeated(self, block: BlockLike) -> bool:
        last = self.committers.pop(block.committer, 0)
        self.committers[block.committer] = max(last, block.number)  # at the end: newest last
        if len(self.committers) > _COMMITTERS_MAX:
            del self.committers[next(iter(self.committers))]
        return block.number <= last

    def _sort(
        self,
        sequence: int,
        block: BlockLike,
        runs: dict[str, list[Step]],
        changes: list[Change | None],
        sources: set[str],
    ) -> None:
        clock_us = self.clock_us
        for offset, event in enumerate(block.events):
            position = pack(sequence, offset)
            if not isinstance(event, Event):
                self.poison.append(SetAside(position, event.reason))
                continue
            if event.named_by_client and self._is_retry(event, clock_us):
                continue
            self.events_total += 1
            sources.add(event.source)
            if event.entity_id is None:
                continue
            step = Step(len(changes), position, clock_us, event.properties)
            changes.append(None)
            run = runs.get(event.entity_id)
            if run is None:
                runs[event.entity_id] = [step]
            else:
                run.append(step)

    def _is_retry(self, event: Event, clock_us: int) -> bool:
        namespace = namespace_of(event.entity_id) if event.entity_id is not None else ""
        key = dedupe_key(namespace, event.event_id)
        if self.window.seen(key):
            return True
        self.window.remember(key, clock_us)
        return False

    def _deliver(self, entity_id: str, run: list[Step], changes: list[Change | None]) -> None:
        actor = self.entities.get(entity_id)
        if actor is None:
            actor = self.entities[entity_id] = EntityActor(entity_id, self.cut_number)
        elif self.witness is not None:
            self.witness.before_change(actor)
        lived = actor.lives
        actor.receive(run, changes)
        self._count(namespace_of(entity_id), actor.lives - lived, actor.updated_us)

    def _count(self, namespace: str, difference: int, updated_us: int) -> None:
        totals = self.namespaces.get(namespace)
        if totals is None:
            totals = self.namespaces[namespace] = NamespaceTotals()
        totals.entities += difference
        totals.updated_us = max(totals.updated_us, updated_us)
        self.alive += difference
