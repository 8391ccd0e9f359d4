"""How entities with behaviours take their events: reduced where the behaviour says how, and told to it.

The fold hands over the actors that a pull has woken. Those without a behaviour it gets back, for its fast
way. Of the others every event is taken on its own: a reducer's answer, given for all runs of the pull in one
call, stands in for what the event would merge; and what has changed becomes a message in the outbox.

A reducer that raises leaves the entity as it was, on every machine. One that takes too long may not do so
elsewhere: the entity then waits, untouched, for an order in the log, which says how it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flux_actors import limits
from flux_actors.domain.acting.catalogue import Binding, Catalogue
from flux_actors.domain.acting.causes import Causes
from flux_actors.domain.acting.difference import difference
from flux_actors.domain.acting.messages import Message, MessageKind, Outbox
from flux_actors.domain.acting.reduced import EverReduced
from flux_actors.domain.acting.reducers import Fact, NoReducers, Reduced, Reducers, ReduceRun
from flux_actors.domain.change import Step
from flux_actors.domain.event import Event, terms_in
from flux_actors.domain.terms import STOP, Order, Terms

if TYPE_CHECKING:
    from flux_actors.domain.entity import EntityActor
    from flux_actors.domain.fold import PartitionState

_OFFSET: Final = (1 << limits.offset_bits) - 1
MAILBOX_FULL: Final = "mailbox-full"
REDUCER_FAILED: Final = "reducer-failed"
REDUCER_OVERRAN: Final = "reducer-overran"


class ActingFault(NamedTuple):
    """Something that the fold could not do for a behaviour; whoever applies reports it."""

    entity_id: str
    position: int
    kind: str
    text: str
    stops: bool = False  # the entity's behaviour is stopped by it


@dataclass(slots=True)
class Acting:
    """The part of a partition's state that is about behaviours."""

    reducers: Reducers = field(default_factory=NoReducers)
    catalogue: Catalogue = field(default_factory=Catalogue)
    outbox: Outbox = field(default_factory=Outbox)
    causes: Causes = field(default_factory=Causes)
    stopped: dict[str, str] = field(default_factory=dict)  # entity id → why
    suspended: dict[str, ActingFault] = field(default_factory=dict)  # they wait for an order
    ever_reduced: EverReduced = field(default_factory=EverReduced)
    # Of the pull that is being applied:
    events: dict[int, Sequence[Any]] = field(default_factory=dict)  # by the sequence of their block
    fresh: list[Message] = field(default_factory=list)
    faults: list[ActingFault] = field(default_factory=list)
    replaced: dict[int, dict[str, Any]] = field(default_factory=dict)  # what reduced events set, by position
    _bindings: dict[tuple[Any, ...], Binding] = field(default_factory=dict)  # entities share them
    _coming: dict[str, int] = field(default_factory=dict)  # messages of an entity on their way to the outbox

    @property
    def binds(self) -> bool:
        """Whether any entity may have a behaviour."""
        return bool(self.catalogue.deployed)

    def begin(self) -> None:
        """Forget what was of the last pull."""
        self.events = {}
        self.fresh = []
        self.faults = []
        self.replaced = {}

    def end(self) -> dict[int, dict[str, Any]]:
        """Let go of the blocks of a pull; return what reducers have made of its events, by position."""
        self.events = {}
        return self.replaced

    def take(self, catalogue: Catalogue) -> None:
        """Go by a catalogue from here on, if it is a newer one."""
        if catalogue.revision > self.catalogue.revision:
            self.catalogue = catalogue
            self.ever_reduced.note(catalogue)
            self._bindings = {}

    def binding(self, actor: EntityActor) -> Binding:
        """Return the behaviour of an entity."""
        binding = actor.binding
        if binding is None or binding.revision != self.catalogue.revision:
            found = self.catalogue.binding(actor.entity_id)
            version = found.version
            key = (found.revision, found.name, *(() if version is None else (version.number, version.digest)))
            binding = actor.binding = self._bindings.setdefault(key, found)
        return binding

    def deliver(self, state: PartitionState, woken: list[EntityActor], void: list[int]) -> list[EntityActor]:
        """Have those of the woken actors that have behaviours take their runs; return the others."""
        others: list[EntityActor] = []
        bound: list[tuple[EntityActor, list[Step]]] = []
        for actor in woken:
            if self.binding(actor).version is None:
                others.append(actor)
            elif actor.mailbox:
                run = actor.mailbox
                bound.append((actor, run if isinstance(run, list) else [run]))
                actor.mailbox = None
        if bound:
            first = len(self.fresh)
            answers = self._answers(bound)
            for actor, steps in bound:
                if self.binding(actor).reduces:
                    for step in steps:
                        self._apply(state, actor, self._answered(actor, step, answers), None, void)
                else:
                    self._run(state, actor, steps, void)
            self._put(first)
        return others

    def receive(
        self, state: PartitionState, actor: EntityActor, step: Step, terms: Terms, void: list[int]
    ) -> Step:
        """Have an actor with a behaviour take one event with terms; return the step as it was taken."""
        if terms.claim is None and terms.expires_us is None:
            step = self._answered(actor, step, self._answers([(actor, [step])]))
        first = len(self.fresh)
        self._apply(state, actor, step, terms, void)
        self._put(first)
        return step

    def order(self, state: PartitionState, order: Order, position: int) -> Step | None:
        """Stop or start the behaviour of an entity; return what that changes of its state, if anything."""
        self.suspended.pop(order.entity_id, None)
        if order.verb != STOP:
            self.stopped.pop(order.entity_id, None)
            return None
        self.stopped[order.entity_id] = order.fault
        self.outbox.remove_of(order.entity_id)
        actor = state.find(order.entity_id)
        if actor is None or not order.sets_state:
            return None
        if order.state is None:
            return (position, order.entity_id, None, state.clock_us) if actor.lives else None
        # All of it, also where it is so already: the entity has then changed here, for whoever folds.
        whole = difference(actor.properties, order.state) | order.state
        return (position, order.entity_id, whole, state.clock_us) if whole else None

    def _answers(self, bound: Sequence[tuple[EntityActor, list[Step]]]) -> dict[int, Reduced]:
        """Return by position what reducers say to the events of runs."""
        runs: list[ReduceRun] = []
        for actor, steps in bound:
            if self.binding(actor).reduces and not self._holds_still(actor):
                runs += self._segments(actor, steps)
        if not runs:
            return {}
        return {
            fact.position: reduced
            for run, reduceds in zip(runs, self.reducers.reduce(runs), strict=True)
            for fact, reduced in zip(run.facts, reduceds, strict=False)
        }

    def _holds_still(self, actor: EntityActor) -> bool:
        """Whether an entity's reducer is stopped: what comes changes nothing, until it is started again."""
        entity_id = actor.entity_id
        return self.binding(actor).reduces and (
            entity_id in self.stopped or entity_id in self.suspended or self._is_escalated(actor)
        )

    def _is_escalated(self, actor: EntityActor) -> bool:
        deployed = self.binding(actor).deployed
        return deployed is not None and deployed.stopped

    def _segments(self, actor: EntityActor, steps: list[Step]) -> Iterable[ReduceRun]:
        """Yield runs for the reducer: behind a deletion an entity begins anew."""
        version = self.binding(actor).version
        digest = "" if version is None else version.digest
        state = actor.properties
        facts: list[Fact] = []
        for position, _, properties, clock_us in steps:
            if properties:
                event = self._event(position)
                facts.append(Fact(properties, position, clock_us, event.event_id, event.source))
            elif properties is None:
                if facts:
                    yield ReduceRun(digest, actor.entity_id, state, facts)
                state, facts = None, []
        if facts:
            yield ReduceRun(digest, actor.entity_id, state, facts)

    def _answered(self, actor: EntityActor, step: Step, answers: dict[int, Reduced]) -> Step:
        """Return a step with its reducer's answer: the entity is as the steps before have left it."""
        position, entity_id, properties, clock_us = step
        if not properties or not self.binding(actor).reduces:
            return step
        reduced = None if self._holds_still(actor) else answers.get(position)
        if reduced is not None and reduced.state is None:
            self._reducer_failed(actor, position, reduced)
        if reduced is None or reduced.state is None:
            return self._frozen(step)
        delta = self.replaced[position] = difference(actor.properties, reduced.state)
        return (position, entity_id, delta, clock_us)

    def _reducer_failed(self, actor: EntityActor, position: int, reduced: Reduced) -> None:
        version = self.binding(actor).version
        stops = version is not None and version.supervision.strategy != "restart"
        kind = REDUCER_OVERRAN if reduced.overran else REDUCER_FAILED
        fault = ActingFault(actor.entity_id, position, kind, reduced.fault, stops)
        self.faults.append(fault)
        if reduced.overran:
            self.suspended[actor.entity_id] = fault
        elif stops:
            self.stopped[actor.entity_id] = reduced.fault

    def _frozen(self, step: Step) -> Step:
        """Return a step that changes nothing."""
        position, entity_id, _, clock_us = step
        self.replaced[position] = {}
        return (position, entity_id, {}, clock_us)

    def _run(self, state: PartitionState, actor: EntityActor, steps: list[Step], void: list[int]) -> None:
        """Have an actor that merges take a run of plain events, and make messages of them.

        This is what a message costs in the fold, so it is one loop over locals.
        """
        hears = self.binding(actor).reacts and self._hears(actor)
        room = limits.mailbox_messages_max - self.outbox.waiting(actor.entity_id)
        history, fresh, events = state.history_positions, self.fresh, self.events
        receive, entity_id = actor.receive, actor.entity_id
        state.before_change(actor)
        difference = 0
        for step in steps:
            position, _, properties, clock_us = step
            current = actor.properties
            previous = (
                {name: current[name] for name in properties if name in current}
                if hears and current and properties
                else {}
            )
            difference += receive(step, history, void)
            if not hears or not (properties or (properties is None and current is not None)):
                continue
            if not room:
                self._full(entity_id, position)
                hears = False
                continue
            room -= 1
            event = events[position >> limits.offset_bits][position & _OFFSET]
            after = actor.properties
            whole = after is not None and properties is not None and len(after) == len(properties)
            fresh.append(
                Message(
                    position,
                    entity_id,
                    _CHANGE,
                    clock_us,
                    None if whole or after is None else after.copy(),
                    properties,
                    previous,
                    event.event_id,
                    event.source,
                    whole=whole,
                )
            )
        state.after_change(actor, difference)

    def _apply(
        self, state: PartitionState, actor: EntityActor, step: Step, terms: Terms | None, void: list[int]
    ) -> None:
        """Have an actor take one event, and make a message of it."""
        properties = step[2]
        reacts = self.binding(actor).reacts
        before = dict(actor.properties) if reacts and actor.properties else {}
        lived = actor.properties is not None
        state.take(actor, step, terms, void)
        if reacts and (properties or (properties is None and lived)):
            self._message(actor, step, MessageKind.CHANGE, before)
        if terms is None:
            return
        if terms.reminder is not None:
            self._message(actor, step, MessageKind.REMINDER, {}, terms.reminder)
        elif terms.told is not None:
            self._message(actor, step, MessageKind.TOLD, {}, terms.told)

    def _hears(self, actor: EntityActor) -> bool:
        """Whether messages are made for an entity: none are for one whose behaviour is stopped."""
        return actor.entity_id not in self.stopped and not self._is_escalated(actor)

    def _message(
        self,
        actor: EntityActor,
        step: Step,
        kind: MessageKind,
        before: dict[str, Any],
        content: Any = None,
    ) -> None:
        binding, entity_id = self.binding(actor), actor.entity_id
        position, _, properties, clock_us = step
        version = binding.version
        if version is None or _HANDLERS[kind] not in version.handles:
            return
        if not self._hears(actor) or not self._has_room(entity_id, position):
            return
        event = self._event(position)
        terms = terms_in(event) if isinstance(event, Event) else None
        is_change = kind is MessageKind.CHANGE
        self.fresh.append(
            Message(
                position,
                entity_id,
                kind,
                clock_us,
                None if actor.properties is None else dict(actor.properties),
                properties if is_change else None,
                {name: before[name] for name in properties or {} if name in before},
                event.event_id,
                event.source,
                0 if terms is None or terms.cause is None else terms.cause.depth,
                content,
            )
        )

    def _has_room(self, entity_id: str, position: int) -> bool:
        """Count a message in; an entity with too many of them is stopped, from here on."""
        coming = self._coming.get(entity_id, 0)
        if self.outbox.waiting(entity_id) + coming < limits.mailbox_messages_max:
            self._coming[entity_id] = coming + 1
            return True
        self._full(entity_id, position)
        return False

    def _full(self, entity_id: str, position: int) -> None:
        text = f"more than {limits.mailbox_messages_max} messages were waiting"
        self.stopped[entity_id] = text
        self.faults.append(ActingFault(entity_id, position, MAILBOX_FULL, text, stops=True))

    def _put(self, first: int) -> None:
        """Put the fresh messages from there on into the outbox, in log order."""
        self._coming.clear()
        self.outbox.extend(sorted(self.fresh[first:], key=_position))

    def _event(self, position: int) -> Any:
        return self.events[position >> limits.offset_bits][position & _OFFSET]


_HANDLERS: Final = {
    MessageKind.CHANGE: "on_change",
    MessageKind.REMINDER: "on_reminder",
    MessageKind.TOLD: "on_tell",
}


_CHANGE: Final = MessageKind.CHANGE
_position: Final = attrgetter("position")
