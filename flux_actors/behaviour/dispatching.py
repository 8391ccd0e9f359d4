"""The dispatcher of a partition: from the outbox to users' code, and back into the log.

    outbox ─▶ mailboxes ─▶ orders ─▶ worker ─▶ results ─▶ effects into the log ─▶ "handled" into the log

Of each entity one call of a worker is under way. Code that runs beside the shard gets orders for many
entities in one call (a `Lane`); the next one goes when that is answered, and takes what has piled up by then.
Coroutines, and entities in processes of their own, are called one by one.

Whatever ends in between, the outbox still has the messages: a successor hands them out again, and their
effects, which are named by them, count once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final

import structlog

from flux_actors import limits
from flux_actors.behaviour.calls import AWAY, FAULTED, LATE, REFUSED, STOPPED, Answered, Ask, Failed
from flux_actors.behaviour.effects import EffectWriters
from flux_actors.behaviour.following import Faults
from flux_actors.behaviour.lane import Carried, Lane
from flux_actors.behaviour.loads import (
    Outcome,
    Share,
    Standing,
    awaited,
    orders_of,
    outcome_of,
    put_back,
    put_back_unusable,
    versions_of,
)
from flux_actors.behaviour.mailbox import Asked, Item, Mailbox
from flux_actors.behaviour.noting import Notes
from flux_actors.behaviour.operating import Operating
from flux_actors.behaviour.own_processes import OwnProcesses
from flux_actors.behaviour.ports import CodeUnusable, Escalate, Place, WorkerLost, Workers
from flux_actors.behaviour.supervising import Follow, rest_s
from flux_actors.behaviour.wire import LOST, Fault, decode_results
from flux_actors.domain.acting.acting import Acting, ActingFault
from flux_actors.domain.acting.catalogue import Binding, Version
from flux_actors.domain.acting.messages import Message
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import pack
from flux_actors.errors import FluxError, Unavailable

_log = structlog.get_logger(__name__)
_AWAY_S: Final = 0.5  # doubles, up to
_AWAY_S_MAX: Final = 8.0
_SWEEP_S: Final = 0.5


class Dispatcher:
    """Has the messages of one partition handled, and questions answered."""

    def __init__(
        self,
        state: PartitionState,
        workers: Workers,
        writers: EffectWriters,
        partitioning: Partitioning,
        escalate: Escalate,
        now_us: Callable[[], int],
    ) -> None:
        self._state = state
        self._workers = workers
        self._writers = writers
        self._partitioning = partitioning
        self.notes = Notes(state.partition, writers, partitioning, now_us)
        self.mailboxes: dict[str, Mailbox] = {}
        self._lanes: dict[str, Lane] = {}
        self._faults = Faults(state, self.notes, escalate, self._spawn)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: set[Asked] = set()  # that somebody waits for
        self.own = OwnProcesses(workers)
        self.operating = Operating(self, workers, self._faults, self.notes)
        self.fault: BaseException | None = None  # of the dispatcher itself
        self._spawn(self._sweep())

    @property
    def acting(self) -> Acting:
        """What the log says of behaviours."""
        return self._state.acting

    def begin(self) -> None:
        """Take up what a predecessor, or a snapshot, has left."""
        self.report(self.acting.suspended.values())
        self.offer(self.acting.outbox.messages.values())

    def offer(self, messages: Iterable[Message]) -> None:
        """Take messages that were just applied, in log order."""
        woken: dict[str, Mailbox] = {}
        for message in messages:
            entity_id = message.entity_id
            mailbox = woken.get(entity_id)
            if mailbox is None:
                mailbox = woken[entity_id] = self._mailbox(entity_id)
            mailbox.items.append(message)
        for mailbox in woken.values():
            self._schedule(mailbox)

    def report(self, faults: Iterable[ActingFault]) -> None:
        """Mark entities with what the fold could not do for their behaviours."""
        for fault in faults:
            binding = self.binding(fault.entity_id)
            self._faults.report(
                fault, binding, self._mailbox(fault.entity_id), self.standing(fault.entity_id)
            )

    async def ask(self, request: Ask) -> Answered | Failed:
        """Ask an entity's behaviour, behind the messages that wait for it."""
        binding = self.binding(request.entity_id)
        if binding.version is None or "on_ask" not in binding.version.handles:
            return Failed(REFUSED, f"{request.entity_id[:200]!r} has no behaviour that answers questions")
        if self._faults.stopped(request.entity_id, binding):
            return Failed(STOPPED, self._faults.why_stopped(request.entity_id))
        away = self.mailboxes.get(request.entity_id)
        if away is not None and away.away and away.resting:
            return Failed(AWAY, away.away)
        asked = Asked(request.content, request.ask_id, asyncio.get_running_loop().create_future())
        mailbox = self._mailbox(request.entity_id)
        mailbox.items.append(asked)
        self._asked.add(asked)
        self._schedule(mailbox)
        deadline_s = min(request.deadline_s, limits.ask_deadline_s_max)
        try:
            answer: Answered | Failed = await asyncio.wait_for(asked.answer, deadline_s)
        except TimeoutError:
            return Failed(LATE, f"{request.entity_id[:200]!r} did not answer in {deadline_s:g} s")
        finally:
            self._asked.discard(asked)
        return answer

    def wake(self, entity_id: str) -> None:
        """Look again at what waits for an entity: how it stands with its behaviour has changed."""
        mailbox = self.mailboxes.get(entity_id)
        if mailbox is not None:
            self._schedule(mailbox)

    def written(self) -> int:
        """Return the sequence of this partition's newest event that is from here, and is durable."""
        return self._writers.positions().get(self._state.partition, 0) >> limits.offset_bits

    def has_stopped(self, entity_id: str, binding: Binding) -> bool:
        """Whether the behaviour of an entity is stopped, by whatever."""
        return self._faults.stopped(entity_id, binding)

    async def close(self) -> None:
        """Let go of everything: the outbox has what is not done."""
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for asked in self._asked:
            asked.tell(Failed(LATE, "the partition moves; ask again"))
        await self._writers.close()

    def binding(self, entity_id: str) -> Binding:
        """Return the behaviour of an entity."""
        actor = self._state.find(entity_id)
        return self.acting.catalogue.binding(entity_id) if actor is None else self.acting.binding(actor)

    def known_binding(self, entity_id: str) -> Binding:
        """Return the behaviour of an entity, which stays out of memory if it is."""
        actor = self._state.entities.get(entity_id)
        return self.acting.catalogue.binding(entity_id) if actor is None else self.acting.binding(actor)

    def standing(self, entity_id: str) -> Standing:
        """Return how an entity stands now."""
        actor = self._state.find(entity_id)
        if actor is None or actor.properties is None:
            return Standing(None, pack(self._state.sequence, 0))
        return Standing(dict(actor.properties), actor.position)

    def place(self, entity_id: str, version: Version) -> Place:
        """Return where the code of an entity runs."""
        if version.dedicated is None:
            return Place(version.environment)
        pinned = self.acting.catalogue.pins.get(entity_id, "")
        return Place(version.environment, entity_id, version.dedicated, pinned)

    def node(self, entity_id: str, version: Version) -> str:
        """Return the Ray node where it is, `""` when it is at none."""
        return self._workers.node(self.place(entity_id, version))

    def _mailbox(self, entity_id: str) -> Mailbox:
        mailbox = self.mailboxes.get(entity_id)
        if mailbox is None:
            mailbox = self.mailboxes[entity_id] = Mailbox(entity_id)
        return mailbox

    def _schedule(self, mailbox: Mailbox) -> None:
        """Have the next items of a mailbox handled, unless some of its items are under way."""
        if mailbox.busy or mailbox.resting:
            return
        if mailbox.is_blank:
            self.mailboxes.pop(mailbox.entity_id, None)
        if not mailbox.items:
            return
        binding = self.binding(mailbox.entity_id)
        version = binding.version
        if version is None or self._faults.stopped(mailbox.entity_id, binding):
            self._drop(mailbox)
        elif version.dedicated is not None or awaited(version, mailbox.items[0]):
            most = 1 if version.awaits or mailbox.alone else limits.orders_items_max
            items, size = self._first(mailbox, most, limits.orders_bytes_max)
            if items:
                mailbox.busy = True
                self._spawn(self._run_alone(Share(mailbox, binding, version, items, size)))
        else:
            mailbox.busy = True
            self._lane(version.environment).add(mailbox)

    def _lane(self, environment: str) -> Lane:
        if environment not in self._lanes:
            self._lanes[environment] = Lane(partial(self._take, environment), self._carry, self._spawn)
        return self._lanes[environment]

    def _take(self, environment: str, mailbox: Mailbox, most: int, bytes_max: int) -> Share | None:
        """Return what an entity has for the next orders of a lane, `None` for nothing any more."""
        binding = self.binding(mailbox.entity_id)
        version = binding.version
        is_here = version is not None and version.dedicated is None and version.environment == environment
        if version is not None and is_here and not self._faults.stopped(mailbox.entity_id, binding):
            most = 1 if mailbox.alone else most
            fits = (lambda item: not awaited(version, item)) if version.awaits else None
            items, size = self._first(mailbox, most, bytes_max, fits)
            if items:
                return Share(mailbox, binding, version, items, size)
        mailbox.busy = False
        self._schedule(mailbox)
        return None

    def _first(
        self, mailbox: Mailbox, most: int, bytes_max: int, fits: Callable[[Item], bool] | None = None
    ) -> tuple[list[Item], int]:
        """Take out the first items; messages that are not in the outbox any more are done, or let go."""
        waiting = self.acting.outbox.messages
        while True:
            items, size = mailbox.first(most, bytes_max, fits)
            left = [item for item in items if isinstance(item, Asked) or item.position in waiting]
            if left or not items:
                return left, size

    async def _run_alone(self, share: Share) -> None:
        carried = await self._carry([share])
        if carried.finishing is not None:
            self._keep(carried.finishing)

    async def _carry(self, load: list[Share]) -> Carried:
        """Have a load handled, and its effects published."""
        carried = await self._handle(load)
        for share in load:
            share.mailbox.busy = False
            self._schedule(share.mailbox)
        return carried

    async def _handle(self, load: list[Share]) -> Carried:
        place = self.place(load[0].mailbox.entity_id, load[0].version)
        if place.is_own:
            await self.own.use(place)
        try:
            outcome = await self._outcome(load, place)
        except Exception as error:  # noqa: BLE001 - whatever it is, the entities beside it must go on
            return Carried(lost=self._on_failed(load, error))
        for share in load:
            share.mailbox.away, share.mailbox.aways, share.mailbox.killed = "", 0, False
        return Carried(self._settle(outcome))

    async def _outcome(self, load: list[Share], place: Place) -> Outcome:
        first = load[0]
        orders = orders_of(self._state.partition, self.acting.outbox.oldest or 0, load, self.standing)
        awaits = bool(first.version.awaits) if place.is_own else awaited(first.version, first.items[0])
        data = await self._workers.run(place, versions_of(load), orders, awaits=awaits)
        return outcome_of(load, decode_results(data).runs)

    def _settle(self, outcome: Outcome) -> asyncio.Task[None] | None:
        """Have effects published and faults followed; return what ends when all is in the log."""
        by_partition: dict[int, list[bytes]] = {}
        for entity_id, encoded in outcome.effects:
            by_partition.setdefault(self._partitioning.of_entity(entity_id), []).append(encoded)
        waits = [self._writers.write(partition, events) for partition, events in by_partition.items()]
        for share, item, fault in outcome.faults:  # behind the effects, for which a stop waits
            self._on_fault(share, item, fault)
        if not (outcome.handled or outcome.answers):
            return None
        return self._spawn(self._finish(outcome, waits))

    async def _finish(self, outcome: Outcome, waits: list[asyncio.Future[None]]) -> None:
        if waits:
            await asyncio.gather(*waits)
        if outcome.handled:
            self.notes.handled(outcome.handled)
        if outcome.answers:
            await self._writers.flushed()
            positions = self._writers.positions()
            for asked, content in outcome.answers:
                asked.tell(Answered(content, positions))

    def _on_failed(self, load: list[Share], error: Exception) -> bool:
        """Put a load back that nothing came of; return as `_on_lost` does."""
        match error:
            case WorkerLost():
                return self._on_lost(load, error)
            case Unavailable():
                _log.warning("behaviour.waits", partition=self._state.partition, reason=error.message)
                for share in load:
                    self._wait(share, error.message)
            case CodeUnusable() | FluxError():  # or their runtime_env is gone
                for share, fault in put_back_unusable(load, error):
                    self._on_fault(share, share.items[0], fault)
            case _:
                _log.error("dispatcher.call_failed", partition=self._state.partition, exc_info=error)
                return self._on_lost(load, WorkerLost(LOST, f"its call failed: {type(error).__name__}"))
        return False

    def _on_lost(self, load: list[Share], lost: WorkerLost) -> bool:
        """Put a load back; return whether nobody knows which item has ended its worker."""
        blamed = put_back(load, lost)
        if blamed is not None:
            self._on_fault(blamed, blamed.items[0], Fault(lost.kind, lost.text), lost.rest_s)
        return lost.run is None

    def _on_fault(self, share: Share, item: Item, fault: Fault, least_s: float = 0.0) -> None:
        """Follow a fault: what failed is tried again in a while, or its entity is stopped."""
        mailbox = share.mailbox
        if isinstance(item, Asked):
            item.tell(Failed(FAULTED, f"{fault.kind}: {fault.text}"))
            return
        if self._faults.follow(share, item, fault) is Follow.RETRY:
            mailbox.back([item])
            self._rest(mailbox, max(least_s, rest_s(share.version.supervision, mailbox.tries - 1)))

    def _wait(self, share: Share, why: str) -> None:
        """Put a share back whose worker cannot be had now; who asks is told so, and may ask again."""
        mailbox = share.mailbox
        mailbox.away = why
        mailbox.back(share.items)
        for asked in mailbox.questions():
            asked.tell(Failed(AWAY, why))
        self._rest(mailbox, min(_AWAY_S * 2.0**mailbox.aways, _AWAY_S_MAX))
        mailbox.aways += 1

    def _drop(self, mailbox: Mailbox) -> None:
        """Let go of what waits for an entity that has no behaviour any more, or a stopped one."""
        items = list(mailbox.items)
        mailbox.items.clear()
        positions = [item.position for item in items if isinstance(item, Message)]
        if positions:
            self.notes.handled(positions)
        for item in items:
            if isinstance(item, Asked):
                item.tell(Failed(STOPPED, self._faults.why_stopped(mailbox.entity_id)))

    def _rest(self, mailbox: Mailbox, seconds: float) -> None:
        """Leave a mailbox alone for a while."""
        mailbox.resting = True

        async def rest() -> None:
            await asyncio.sleep(seconds)
            mailbox.resting = False
            self._schedule(mailbox)

        self._spawn(rest())

    async def _sweep(self) -> None:
        """See that the processes of entities are where they are to be, and not for nothing."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            await self.own.sweep(self._own_place, self._is_idle)

    def _own_place(self, entity_id: str) -> Place | None:
        version = self.binding(entity_id).version
        return None if version is None or version.dedicated is None else self.place(entity_id, version)

    def _is_idle(self, entity_id: str) -> bool:
        mailbox = self.mailboxes.get(entity_id)
        return mailbox is None or not (mailbox.busy or mailbox.items)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._keep(asyncio.get_running_loop().create_task(work))

    def _keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("dispatcher.fault", partition=self._state.partition, error=repr(task.exception()))
            self.fault = task.exception()
