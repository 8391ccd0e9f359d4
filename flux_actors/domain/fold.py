"""The fold: blocks of one partition in, entity actors and changes out.

How a pull is applied: every block must follow the one before (sequence + 1). A block whose committer
has already had that number applied is skipped whole. Each event is looked up in the dedupe window,
then put in the mailbox of its entity actor; when all blocks are sorted, each actor receives its merged
run once. The changes stand in log order. Nothing here depends on how the log was cut into pulls,
so live operation, replay, and snapshot plus tail give the same state, bit for bit.

`sort` and `EntityActor.receive` are what an event costs. So they are plain loops over locals, and
nothing is made per event but one tuple: its step in the mailbox and, as it stands, its change in the feed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from flux_actors import limits
from flux_actors.domain.acting.acting import Acting, ActingFault
from flux_actors.domain.acting.messages import Message
from flux_actors.domain.block_like import BlockLike, PoisonLike
from flux_actors.domain.change import Step
from flux_actors.domain.cold import Cold
from flux_actors.domain.dedupe import DedupeWindow, dedupe_key
from flux_actors.domain.entity import EntityActor, EntityRow, NamespaceTotals
from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.event import DELETED, EventHead
from flux_actors.domain.leases import Leases, Timers
from flux_actors.domain.position import pack
from flux_actors.domain.termed import TermedBlock
from flux_actors.domain.terms import SERVER_SOURCES, Terms
from flux_actors.errors import Corrupt

_COMMITTERS_MAX: Final = 10_000
_NOTHING: Final[dict[str, Any]] = {}


class Unreadable(NamedTuple):
    """Stands where the log holds a message that is no block."""

    reason: str


class Witness(Protocol):
    """A running snapshot cut: sees each actor whose `cut` is below the state's number before it changes."""

    def before_change(self, actor: EntityActor) -> None: ...
    def has_passed(self, entity_id: str) -> bool: ...


class SetAside(NamedTuple):
    """A poisonous event: where it stands and why it could not be applied."""

    position: int
    reason: str


class Applied(NamedTuple):
    """What one pull did; changes and sources are for the feed alone."""

    changes: list[Step]
    sources: list[str]
    poison: list[SetAside]
    refused: Sequence[int] = ()  # positions of events whose terms were not met
    messages: Sequence[Message] = ()  # to behaviours
    faults: Sequence[ActingFault] = ()  # of behaviours
    left_out: Collection[int] = ()  # positions of events that came before
    repeated: Collection[int] = ()  # sequences of blocks that did


@dataclass(slots=True)
class PartitionState:
    """Everything that the log of one partition makes."""

    partition: int
    sequence: int = 0
    clock_us: int = 0
    events_total: int = 0
    entities: dict[str, EntityActor] = field(default_factory=dict)
    roster: list[EntityActor] = field(default_factory=list)  # all in order of birth, where none ever leaves
    alive: int = 0
    namespaces: dict[str, NamespaceTotals] = field(default_factory=dict)
    window: DedupeWindow = field(default_factory=DedupeWindow)
    committers: dict[int, int] = field(default_factory=dict)
    poison: list[SetAside] = field(default_factory=list)
    cut_number: int = 0
    witness: Witness | None = None
    history_positions: int = limits.history_positions_max  # how many events of an entity are remembered
    cold: Cold | None = None
    timers: Timers = field(default_factory=Timers)
    acting: Acting = field(default_factory=Acting)

    @property
    def known(self) -> int:
        """How many entities there are, living or not, in memory or not."""
        return len(self.entities) if self.cold is None else self.cold.known

    def apply(self, blocks: Iterable[tuple[int, BlockLike | Unreadable]], *, feed: bool = True) -> Applied:
        """Apply blocks that follow the last one applied; tell of changes and sources if a `feed` wants them.

        Blocks may be decoded as they are asked for: then one is sorted while it is in the processor's cache.

        Raises:
            Corrupt: a block does not follow the one before it. Those before it were applied; that holds
                for whatever asking for the next block raises, too.
        """
        woken: list[EntityActor] = []
        changes: list[Step] | None = [] if feed else None
        sources: set[str] = set()
        void: list[int] = []
        refused: list[int] = []
        left_out: set[int] = set()
        repeated: list[int] = []
        poison_before = len(self.poison)
        acting = self.acting
        acting.begin()
        try:
            for sequence, block in blocks:
                self._follow(sequence)
                if isinstance(block, Unreadable):
                    self.poison.append(SetAside(pack(sequence, 0), block.reason))
                    continue
                self.clock_us = max(self.clock_us, block.clock_us)
                if self._repeated(block):
                    repeated.append(sequence)
                else:
                    first = pack(sequence, 0)
                    if block.has_terms or acting.binds:  # else their events are let go of one after the other
                        acting.events[sequence] = block.events
                    if block.has_terms:
                        termed = TermedBlock(self, woken, changes, void, refused)
                        retries = termed.apply(block.events, first)
                    else:
                        retries = self.sort(block.events, first, woken, changes)
                    left_out.update(retries)
                    if feed:
                        found = _sources(sequence, block.events, retries)
                        sources |= found - SERVER_SOURCES if block.has_terms else found
        finally:
            self.deliver(woken, void)
        poison = self.poison[poison_before:]
        del self.poison[: -limits.poison_kept_max]
        told = _told(changes or [], void, acting.end())
        fresh, faults = acting.fresh, acting.faults
        return Applied(told, sorted(sources), poison, refused, fresh, faults, left_out, repeated)

    def adopt(self, actor: EntityActor) -> EntityActor:
        """Take in an actor that the state does not hold, and return it."""
        self.entities[actor.entity_id] = actor
        actor.namespace = self._enrol(actor.entity_id, int(actor.lives), actor.updated_us)
        if actor.leases is not None:
            self.watch(actor.entity_id, actor.leases)
        if self.cold is None:
            self.roster.append(actor)
        else:
            self.cold.born(actor)
        return actor

    def adopt_rows(self, rows: list[EntityRow]) -> None:
        """Take in entities of a snapshot, as cold ones where there is a place for those.

        Raises:
            Unavailable: the place has no room.
        """
        kept: list[EntityRow] = []
        for row in rows:
            if self.cold is not None and self.cold.fits(row.entity_id):
                kept.append(row)
                if row.leases is not None:
                    self.watch(row.entity_id, row.leases)
                self._enrol(row.entity_id, int(row.properties is not None), row.updated_us)
            else:
                self.adopt(EntityActor.from_row(row, 0))
        if self.cold is not None:
            self.cold.keep(kept)

    def living(self, ids: Iterable[str]) -> Iterator[EntityActor]:
        """Yield the actors of those ids that exist for readers and are in memory."""
        for entity_id in ids:
            actor = self.entities.get(entity_id)
            if actor is not None and actor.properties is not None:
                yield actor

    def _follow(self, sequence: int) -> None:
        if sequence != self.sequence + 1:
            raise Corrupt(
                f"partition {self.partition}: block {sequence} came after {self.sequence}; the log has a gap"
            )
        self.sequence = sequence

    def _repeated(self, block: BlockLike) -> bool:
        last = self.committers.pop(block.committer, 0)
        self.committers[block.committer] = max(last, block.number)  # at the end: newest last
        if len(self.committers) > _COMMITTERS_MAX:
            del self.committers[next(iter(self.committers))]
        return block.number <= last

    def sort(  # noqa: C901, PLR0912 - one loop on purpose: a call for every event would cost a tenth of it all
        self,
        events: Sequence[EventHead | PoisonLike],
        first: int,
        woken: list[EntityActor],
        changes: list[Step] | None,
    ) -> Collection[int]:
        """Put each event in its actor's mailbox; return the positions of retries, which were left out.

        The first of them stands at the position `first`, the others behind it.
        """
        clock_us = self.clock_us  # an entity's clock never goes back, as that of the log does not
        find = self.entities.get
        retries: Collection[int] | None = None
        poison_before = len(self.poison)
        for position, event in enumerate(events, first):
            if event.named_by_client:
                if retries is None:
                    retries = self._retries(events, first)
                if position in retries:
                    continue
            entity_id = event.entity_id
            if entity_id is None:
                if not isinstance(event, EventHead):
                    self.set_aside(position, event)
                continue
            properties = event.properties
            if not properties:  # names no property: logged, changes nothing
                step: Step = (position, entity_id, _NOTHING, clock_us)
            else:
                if DELETED in properties and properties[DELETED] is True:
                    properties = None
                step = (position, entity_id, properties, clock_us)
                if changes is not None:
                    changes.append(step)
            actor = find(entity_id) or self.actor_of(entity_id)
            mailbox = actor.mailbox
            if mailbox is None:
                actor.mailbox = step  # most actors get one event a pull: no list for it
                woken.append(actor)
            elif isinstance(mailbox, list):
                mailbox.append(step)
            else:
                actor.mailbox = [mailbox, step]
        retries = retries or ()
        self.events_total += len(events) - len(retries) - (len(self.poison) - poison_before)
        return retries

    def _retries(self, events: Sequence[EventHead | PoisonLike], first: int) -> Collection[int]:
        """Return the positions of those events whose ids clients had sent before; remember the others."""
        named = [event for event in events if event.named_by_client]
        keys = [dedupe_key(event.entity_id or "", event.event_id) for event in named]
        found = self.window.admit(keys, self.clock_us)
        if not found:
            return ()
        positions = [position for position, event in enumerate(events, first) if event.named_by_client]
        return {positions[index] for index in found}

    def set_aside(self, position: int, event: PoisonLike) -> None:
        """Keep a poisonous event where it can be looked at."""
        self.poison.append(SetAside(position, event.reason))

    def find(self, entity_id: str) -> EntityActor | None:
        """Return the actor of an entity, taken back into memory; `None` of one that nobody knows."""
        return self.entities.get(entity_id) or self._recalled(entity_id)

    def actor_of(self, entity_id: str) -> EntityActor:
        """Return the actor of an entity that is not in memory: the one place where an actor is made."""
        return self._recalled(entity_id) or self.adopt(EntityActor(entity_id, self.cut_number))

    def _recalled(self, entity_id: str) -> EntityActor | None:
        """Return the actor of a cold entity, `None` of one that nobody knows."""
        returned = None if self.cold is None else self.cold.recall(entity_id)
        if returned is None:
            return None
        if self.witness is not None and self.witness.has_passed(entity_id):
            returned.cut = self.cut_number
        returned.namespace = self.namespaces[namespace_of(entity_id)]
        self.entities[entity_id] = returned
        return returned

    def _enrol(self, entity_id: str, living: int, updated_us: int) -> NamespaceTotals:
        """Count an entity in and return the totals that it belongs to."""
        namespace = namespace_of(entity_id)
        totals = self.namespaces.get(namespace)
        if totals is None:
            totals = self.namespaces[namespace] = NamespaceTotals()
        totals.entities += living
        totals.updated_us = max(totals.updated_us, updated_us)
        self.alive += living
        return totals

    def deliver(self, woken: list[EntityActor], void: list[int]) -> None:
        """Have each actor receive its run; `void` takes the positions of deletions that found nothing."""
        if self.acting.binds:
            woken = self.acting.deliver(self, woken, void)
        witness, history = self.witness, self.history_positions
        for actor in woken:
            if witness is not None and actor.cut < self.cut_number:
                witness.before_change(actor)
            run = actor.mailbox
            actor.mailbox = None
            difference = actor.receive(run, history, void) if run else 0
            totals = actor.namespace
            if actor.updated_us > totals.updated_us:  # noqa: PLR1730 - max() takes three times as long
                totals.updated_us = actor.updated_us
            if difference:
                totals.entities += difference
                self.alive += difference

    def receive(self, actor: EntityActor, step: Step, terms: Terms, void: list[int]) -> Step:
        """Have an actor receive one event with terms, which applies; return its step as it was taken."""
        if self.acting.binds and self.acting.binding(actor).version is not None:
            return self.acting.receive(self, actor, step, terms, void)
        self.take(actor, step, terms, void)
        return step

    def take(self, actor: EntityActor, step: Step, terms: Terms | None, void: list[int]) -> None:
        """Have an actor take one event as it stands."""
        self.before_change(actor)
        if terms is None:
            difference = actor.receive(step, self.history_positions, void)
        else:
            difference = actor.receive_termed(step, terms, self.history_positions, void)
        self.after_change(actor, difference)
        if terms is not None and actor.leases is not None:
            self.timers.note(actor.entity_id, actor.leases)
            for name in terms.remind or ():
                deadline_us = actor.leases.reminder_us(name)
                if deadline_us is not None:
                    self.timers.remind(actor.entity_id, name, deadline_us)
                    self.timers.thin(self._reminds)

    def before_change(self, actor: EntityActor) -> None:
        """Have a snapshot that is under way see an actor as it is now."""
        if self.witness is not None and actor.cut < self.cut_number:
            self.witness.before_change(actor)

    def after_change(self, actor: EntityActor, difference: int) -> None:
        """Count what an actor has become; `difference` is by how many living entities there are more."""
        actor.namespace.updated_us = max(actor.namespace.updated_us, actor.updated_us)
        actor.namespace.entities += difference
        self.alive += difference

    def watch(self, entity_id: str, leases: Leases) -> None:
        """Have everything watched that ends for an entity."""
        self.timers.note(entity_id, leases)
        for name, deadline_us in leases.reminder_rows():
            self.timers.remind(entity_id, name, deadline_us)

    def _reminds(self, deadline_us: int, entity_id: str, name: str) -> bool:
        """Whether a reminder may still stand; of an entity that is not in memory it may."""
        if (actor := self.entities.get(entity_id)) is None:
            return self.cold is not None
        return actor.leases is not None and actor.leases.reminder_us(name) == deadline_us


def _sources(sequence: int, events: Sequence[EventHead | PoisonLike], retries: Collection[int]) -> set[str]:
    """Return who sent the events of a block that counted."""
    return {
        event.source
        for position, event in enumerate(events, pack(sequence, 0))
        if isinstance(event, EventHead) and position not in retries
    }


def _told(changes: list[Step], void: Collection[int], replaced: Mapping[int, dict[str, Any]]) -> list[Step]:
    """Return the changes as they came about: without deletions of nothing, and with what reducers made."""
    if void:
        changes = [step for step in changes if step[0] not in void]
    if not replaced:
        return changes
    told = (
        (position, entity_id, replaced.get(position, properties), clock_us)
        for position, entity_id, properties, clock_us in changes
    )
    return [step for step in told if step[2] is None or step[2]]
