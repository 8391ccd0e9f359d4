"""What an operator has done to an entity's behaviour: it is killed, stopped, or started again.

Killing ends what runs, and nothing else: the next message begins anew. Stopping and starting stand in the
log, so they outlive every process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flux_actors.behaviour.following import Faults
from flux_actors.behaviour.noting import STARTED, STOPPED, Notes
from flux_actors.behaviour.ports import Workers
from flux_actors.behaviour.supervising import facts

if TYPE_CHECKING:
    from flux_actors.behaviour.dispatching import Dispatcher

BY_OPERATOR: Final = "stopped by an operator"


class Operating:
    """Does so in one partition."""

    def __init__(self, dispatcher: Dispatcher, workers: Workers, faults: Faults, notes: Notes) -> None:
        self._dispatcher = dispatcher
        self._workers = workers
        self._faults = faults
        self._notes = notes

    async def kill(self, entity_id: str) -> None:
        """End what runs; what was under way in a process of its own is handled again."""
        dispatcher = self._dispatcher
        mailbox = dispatcher.mailboxes.get(entity_id)
        if mailbox is not None:
            mailbox.killed = mailbox.busy
        await dispatcher.own.end(entity_id)
        version = dispatcher.binding(entity_id).version
        if version is not None and version.dedicated is None:
            await self._workers.forget(dispatcher.place(entity_id, version), [entity_id])

    async def start(self, entity_id: str) -> None:
        """Start the behaviour again, with a fresh instance; return when the log has it."""
        await self.kill(entity_id)
        self._faults.start(entity_id)
        mailbox = self._dispatcher.mailboxes.get(entity_id)
        if mailbox is not None:
            mailbox.tries, mailbox.fault = 0, None
        await self._notes.start(entity_id)
        self._tell(entity_id, "", STARTED)

    async def stop(self, entity_id: str) -> None:
        """Stop the behaviour; return when the log has it.

        What waits for it is let go, and so is what comes until it is started again.
        """
        self._faults.stop(entity_id)
        position = self._dispatcher.standing(entity_id).position
        await self.kill(entity_id)
        self._dispatcher.wake(entity_id)
        await self._notes.flushed()  # or a crash would take effects of what it has done
        await self._notes.stop(entity_id, BY_OPERATOR, position)
        self._tell(entity_id, BY_OPERATOR, STOPPED)

    def _tell(self, entity_id: str, text: str, state: str) -> None:
        """Mark the entity with it."""
        mailbox = self._dispatcher.mailboxes.get(entity_id)
        count = 0 if mailbox is None else mailbox.faults
        told = facts(self._dispatcher.binding(entity_id), "", text, state, count)
        self._notes.fault(entity_id, self._dispatcher.standing(entity_id).position, told)
