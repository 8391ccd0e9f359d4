"""The roster: how the entities with behaviours of one partition stand, for whoever looks after them.

First come those of which there is something to tell: messages wait, a fault is known, a reminder is set, or
they have a process of their own. Then the others by their ids. All in short runs: between two of them the
shard does what else there is to do, and a million entities hold up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import chain, islice
from typing import Final, Protocol

import msgspec

from flux_actors import limits
from flux_actors.behaviour.dispatching import Dispatcher
from flux_actors.behaviour.mailbox import Asked, Mailbox
from flux_actors.domain.acting.catalogue import Binding
from flux_actors.domain.entity import Readable
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.leases import Leases

HOSTED: Final = "hosted"
DEDICATED: Final = "dedicated"


class ActorState(StrEnum):
    """What a behaviour is at."""

    IDLE = "idle"
    RUNNING = "running"
    WAITING = "waiting"  # there is no process for it now
    RETRYING = "retrying"  # a message failed, and is tried again in a while
    STOPPED = "stopped"
    ESCALATED = "escalated"  # the behaviour is stopped for all its entities


class ActorRow(msgspec.Struct, array_like=True, frozen=True):
    """How one entity with a behaviour stands."""

    entity: str
    behaviour: str
    version: int
    placement: str  # `hosted` or `dedicated`
    node: str  # the Ray node where it runs; "" where no process is
    pinned: bool
    state: ActorState
    messages: int  # that wait, or are under way
    faults: int  # since its shard started
    fault: str  # the last one, why it is stopped, or why it waits; "" for none
    reminders: int
    next_reminder_us: int | None  # of the log's clock

    @property
    def tells(self) -> bool:
        """Whether there is more to tell of it than that it is."""
        apart = self.placement == DEDICATED and (bool(self.node) or self.pinned)
        return apart or bool(self.messages or self.fault or self.reminders) or self.state != ActorState.IDLE


class Index(Protocol):
    """The ids of a partition in order."""

    def refresh(self) -> None:
        """Take in the newest."""
        ...

    def living(self, prefix: str, after: str | None, ids_max: int) -> tuple[Sequence[Readable], str | None]:
        """Return those of the next ids that live, and where to go on."""
        ...


async def roster(
    state: PartitionState, dispatcher: Dispatcher, index: Index, prefix: str, rows_max: int
) -> list[ActorRow]:
    """Return up to `rows_max` rows of entities whose ids begin with `prefix`."""
    rows: dict[str, ActorRow] = {}

    def take(entity_ids: Iterable[str], *, telling: bool) -> bool:
        """Take the rows of those with a behaviour; return whether there is room for more."""
        for entity_id in entity_ids:
            if len(rows) >= rows_max:
                return False
            if entity_id.startswith(prefix) and entity_id not in rows:
                row = row_of(state, dispatcher, entity_id)
                if row is not None and (row.tells or not telling):
                    rows[entity_id] = row
        return len(rows) < rows_max

    told = _told(state, dispatcher)
    while some := list(islice(told, limits.run_ids_max)):
        if not take(some, telling=True):
            return list(rows.values())
        await asyncio.sleep(0)
    async for ids in _living(dispatcher, index, prefix):
        if not take(ids, telling=False):
            break
    return list(rows.values())


def row_of(state: PartitionState, dispatcher: Dispatcher, entity_id: str) -> ActorRow | None:
    """Return the row of an entity, `None` when it has no behaviour; a cold one stays cold."""
    binding = dispatcher.known_binding(entity_id)
    version = binding.version
    if version is None:
        return None
    mailbox = dispatcher.mailboxes.get(entity_id) or Mailbox(entity_id)
    reminders = _leases(state, entity_id).reminder_rows()
    asked = sum(isinstance(item, Asked) and not item.is_given_up for item in mailbox.items)
    return ActorRow(
        entity_id,
        binding.name,
        version.number,
        HOSTED if version.dedicated is None else DEDICATED,
        dispatcher.node(entity_id, version),
        version.dedicated is not None and entity_id in dispatcher.acting.catalogue.pins,
        _state(dispatcher, binding, mailbox),
        dispatcher.acting.outbox.waiting(entity_id) + asked,
        mailbox.faults,
        _fault(dispatcher, mailbox),
        len(reminders),
        min((deadline_us for _, deadline_us in reminders), default=None),
    )


async def _living(dispatcher: Dispatcher, index: Index, prefix: str) -> AsyncIterator[list[str]]:
    """Yield the ids of all living entities in runs, if any of them may have a behaviour."""
    after: str | None = None
    index.refresh()
    while dispatcher.acting.binds:
        actors, after = index.living(prefix, after, limits.run_ids_max)
        yield [actor.entity_id for actor in actors]
        if after is None:
            return
        await asyncio.sleep(0)


def _told(state: PartitionState, dispatcher: Dispatcher) -> Iterator[str]:
    """Return the ids of which there may be something to tell, some of them more than once."""
    acting = dispatcher.acting
    return chain(
        list(dispatcher.mailboxes),
        acting.outbox.entities(),
        list(acting.stopped),
        list(acting.suspended),
        dispatcher.own.ids,
        state.timers.reminded(),
    )


def _state(dispatcher: Dispatcher, binding: Binding, mailbox: Mailbox) -> ActorState:
    if binding.deployed is not None and binding.deployed.stopped:
        return ActorState.ESCALATED
    if dispatcher.has_stopped(mailbox.entity_id, binding):
        return ActorState.STOPPED
    if mailbox.away:
        return ActorState.WAITING
    if mailbox.busy:
        return ActorState.RUNNING
    return ActorState.RETRYING if mailbox.resting else ActorState.IDLE


def _fault(dispatcher: Dispatcher, mailbox: Mailbox) -> str:
    acting, entity_id = dispatcher.acting, mailbox.entity_id
    why = acting.stopped.get(entity_id)
    if why:
        return why
    if mailbox.away:
        return mailbox.away
    fault = mailbox.fault
    return "" if fault is None else f"{fault.kind}: {fault.text}"


def _leases(state: PartitionState, entity_id: str) -> Leases:
    actor = state.entities.get(entity_id)
    if actor is not None:
        return actor.leases or Leases()
    cold = None if state.cold is None else state.cold.find(entity_id)
    return Leases() if cold is None else cold.row().leases or Leases()
