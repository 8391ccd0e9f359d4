"""A block in which some events have terms: those are decided one after the other, as the log has them.

Plain events between two of them go the fold's fast way. Before an event with terms is decided, all events
before it are delivered, so it is decided on the state that they left. What is refused changes nothing: it is
in no history, and its eventId is not used up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from flux_actors.domain.change import Step
from flux_actors.domain.conditions import applies
from flux_actors.domain.dedupe import dedupe_key
from flux_actors.domain.effect import effect_of
from flux_actors.domain.entity import EntityActor
from flux_actors.domain.event import Event, terms_in
from flux_actors.domain.terms import Terms

if TYPE_CHECKING:
    from flux_actors.domain.fold import PartitionState

_NONE: Final = Terms()


class TermedBlock:
    """Applies one block to a state."""

    def __init__(
        self,
        state: PartitionState,
        woken: list[EntityActor],
        changes: list[Step] | None,
        void: list[int],
        refused: list[int],
    ) -> None:
        self._state = state
        self._woken = woken
        self._changes = changes
        self._void = void
        self._refused = refused
        self._retries: set[int] = set()

    def apply(self, events: Sequence[Any], first: int) -> Collection[int]:
        """Apply events, the first at that position; return the positions of retries, which were left out."""
        plain_from = index = 0
        while index < len(events):
            terms = terms_in(events[index])
            if terms is None:
                index += 1
                continue
            self._sort(events[plain_from:index], first + plain_from)
            count = max(1, terms.together)
            self._apply_together(events[index : index + count], first + index)
            plain_from = index = index + count
        self._sort(events[plain_from:], first + plain_from)
        return self._retries

    def _sort(self, events: Sequence[Any], first: int) -> None:
        if events:
            self._retries.update(self._state.sort(events, first, self._woken, self._changes))

    def _apply_together(self, events: Sequence[Any], first: int) -> None:
        """Apply events all or none; those that came before are left out."""
        state = self._state
        state.deliver(self._woken, self._void)
        self._woken.clear()
        fresh: list[tuple[int, Event]] = []
        whole = True
        for position, event in enumerate(events, first):
            if not isinstance(event, Event):
                state.set_aside(position, event)
                whole = False
            elif event.named_by_client and state.window.seen(_key_of(event)):
                self._retries.add(position)
            else:
                fresh.append((position, event))
        if whole and all(self._applies(event) for _, event in fresh):
            for position, event in fresh:
                self._apply(position, event)
        else:
            for position, event in fresh:
                self._refuse(position, event)

    def _applies(self, event: Event) -> bool:
        terms, state = terms_in(event), self._state
        if terms is None:
            return True
        return applies(event, terms, self._actor_of(event), state.partition, state.clock_us)

    def _actor_of(self, event: Event) -> EntityActor | None:
        return None if event.entity_id is None else self._state.find(event.entity_id)

    def _refuse(self, position: int, event: Event) -> None:
        """Leave an event out; a lease that has not ended yet is watched on."""
        terms = terms_in(event)
        if terms is None or terms.expires_us is None:
            self._refused.append(position)
            return
        actor = self._actor_of(event)
        if actor is None or actor.leases is None:
            return
        if terms.reminder is None:
            self._state.timers.note(actor.entity_id, actor.leases)
            return
        deadline_us = actor.leases.reminder_us(terms.reminder)
        if deadline_us is not None:
            self._state.timers.remind(actor.entity_id, terms.reminder, deadline_us)

    def _apply(self, position: int, event: Event) -> None:
        state = self._state
        terms = terms_in(event) or _NONE
        if self._is_retry(position, event, terms):
            return
        if terms.is_note:
            self._note(position, terms)
            return
        if not terms.is_silent or event.properties:  # a renewal is nobody's event
            state.events_total += 1
        entity_id = event.entity_id
        if entity_id is None:
            return
        properties = effect_of(event, position, state.clock_us)
        step = (position, entity_id, properties, state.clock_us)
        self._tell(step)
        state.receive(state.find(entity_id) or state.actor_of(entity_id), step, terms, self._void)

    def _is_retry(self, position: int, event: Event, terms: Terms) -> bool:
        """Whether an event came before; if not, it is remembered."""
        state = self._state
        if event.named_by_client:
            if state.window.seen(_key_of(event)):  # twice in one batch
                self._retries.add(position)
                return True
            state.window.remember(_key_of(event), state.clock_us)
        if terms.cause is not None and not state.acting.causes.admit(terms.cause):
            self._retries.add(position)
            return True
        return False

    def _note(self, position: int, terms: Terms) -> None:
        """Take what is about behaviours, and no event of anybody."""
        acting = self._state.acting
        if terms.control is not None:
            acting.take(terms.control)
        if terms.handled is not None:
            acting.outbox.remove(terms.handled)
        if terms.order is not None:
            step = acting.order(self._state, terms.order, position)
            if step is not None:
                self._tell(step)
                self._state.take(
                    self._state.find(step[1]) or self._state.actor_of(step[1]), step, None, self._void
                )

    def _tell(self, step: Step) -> None:
        if self._changes is not None and (step[2] is None or step[2]):
            self._changes.append(step)


def _key_of(event: Event) -> str:
    return dedupe_key(event.entity_id or "", event.event_id)
