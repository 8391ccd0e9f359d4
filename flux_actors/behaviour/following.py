"""Faults of behaviours: what follows them, how the entity is marked, and which entities are stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from flux_actors.behaviour.loads import Share, Standing
from flux_actors.behaviour.mailbox import Mailbox
from flux_actors.behaviour.noting import GOES_ON, RETRYING, STOPPED, Notes
from flux_actors.behaviour.ports import Escalate
from flux_actors.behaviour.supervising import Follow, facts_of, judge
from flux_actors.behaviour.wire import Fault
from flux_actors.domain.acting.acting import ActingFault
from flux_actors.domain.acting.catalogue import Binding
from flux_actors.domain.acting.messages import Message
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Unavailable

_log = structlog.get_logger(__name__)
_AWAY_S: Final = 0.5
_Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Faults:
    """Follows the faults of one partition."""

    def __init__(self, state: PartitionState, notes: Notes, escalate: Escalate, spawn: _Spawn) -> None:
        self._acting = state.acting
        self._notes = notes
        self._escalate = escalate
        self._spawn = spawn
        self._stopping: set[str] = set()  # until the log says that they are stopped

    def follow(self, share: Share, message: Message, fault: Fault) -> Follow:
        """Mark an entity whose message failed, and stop it unless the message is to be tried again."""
        mailbox, name = share.mailbox, share.binding.name
        follow = judge(share.version.supervision, fault, mailbox.tries)
        mailbox.faults += 1
        mailbox.fault = fault
        _log.warning(
            "behaviour.failed",
            entity=mailbox.entity_id,
            behaviour=name,
            kind=fault.kind,
            follows=follow.name.lower(),
        )
        if follow is Follow.RETRY:
            mailbox.tries += 1
        else:
            self._stopping.add(mailbox.entity_id)
            self._spawn(self._stop(mailbox.entity_id, _text(fault), message.position))
        if follow is Follow.ESCALATE:
            self._spawn(self._escalate_it(name, share.version.number))
        state = RETRYING if follow is Follow.RETRY else STOPPED
        facts = facts_of(share.binding, mailbox, fault, state)
        self._notes.fault(mailbox.entity_id, message.position, facts)
        return follow

    def report(self, fault: ActingFault, binding: Binding, mailbox: Mailbox, standing: Standing) -> None:
        """Mark an entity with what the fold could not do for its behaviour."""
        mailbox.faults += 1
        mailbox.fault = Fault(fault.kind, fault.text)
        suspended = fault.entity_id in self._acting.suspended
        if suspended:
            self._notes.stop_as_it_is(fault.entity_id, fault.text, fault.position, standing.properties)
        state = STOPPED if fault.stops or suspended else GOES_ON
        facts = facts_of(binding, mailbox, mailbox.fault, state)
        self._notes.fault(fault.entity_id, fault.position, facts)

    def stopped(self, entity_id: str, binding: Binding) -> bool:
        """Whether an entity's behaviour is stopped, or is about to be."""
        if entity_id in self._acting.stopped:
            self._stopping.discard(entity_id)
            return True
        is_escalated = binding.deployed is not None and binding.deployed.stopped
        return is_escalated or entity_id in self._stopping or entity_id in self._acting.suspended

    def why_stopped(self, entity_id: str) -> str:
        """Return a sentence that says why, and what to do."""
        why = self._acting.stopped.get(entity_id) or "it failed"
        return (
            f"the behaviour of {entity_id[:200]!r} is stopped: {why}; `flux actors restart` starts it again"
        )

    def stop(self, entity_id: str) -> None:
        """Have an entity count as stopped before the log says so."""
        self._stopping.add(entity_id)

    def start(self, entity_id: str) -> None:
        """Forget that an entity was about to be stopped."""
        self._stopping.discard(entity_id)

    async def _stop(self, entity_id: str, fault: str, position: int) -> None:
        """Note that an entity is stopped, once the effects of its messages before are durable.

        The order takes all messages of the entity out of the outbox, also those whose effects would be
        published again after a crash. Whoever starts the entity meanwhile has only this message let go.
        """
        await self._notes.flushed()
        if entity_id in self._stopping:
            self._notes.stop(entity_id, fault, position)
        else:
            self._notes.handled([position])

    async def _escalate_it(self, name: str, number: int) -> None:
        while True:
            try:
                await self._escalate(name, number)
            except Unavailable as error:
                _log.warning("behaviour.escalation_waits", behaviour=name, reason=error.message)
                await asyncio.sleep(_AWAY_S)
            else:
                return


def _text(fault: Fault) -> str:
    return f"{fault.kind}: {fault.text}"
