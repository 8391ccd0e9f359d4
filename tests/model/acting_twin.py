"""The twin of a log whose entities act: its parts crash, come back, and are there twice."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.change import Change, SeenEvent
from flux_actors.behaviour.dispatching import Dispatcher
from flux_actors.behaviour.ports import NOBODY, WorkerLost
from flux_actors.behaviour.reducing import DirectReducers
from flux_actors.behaviour.wire import LOST
from flux_actors.domain.acting.catalogue import Supervision
from flux_actors.domain.fold import PartitionState
from flux_actors.log.block import decode_block
from flux_actors.log.memory import MemoryLog
from flux_actors.shard.expiring import Expirer
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from tests.unit.behaviour.acting_world import PARTITIONS, World

SETTLE_S: Final = 20.0
PATIENT: Final = Supervision(retries=100, backoff_s=0.001, backoff_s_max=0.001)


class Teller(Behaviour):
    """Has an effect beside itself and one in the other partition, and at times a reminder."""

    match = "near/in/*"
    supervision = PATIENT

    def on_change(self, entity: ActingEntity, change: Change) -> None:
        who, n = entity.id.rpartition("/")[2], change.properties["n"]
        entity.emit(f"near/ledger/{who}", {"n": n})
        if change.properties["rings"]:
            entity.remind(f"{n}", after_s=0.001)
        entity.emit(f"faraway/each/{who}-{n}", {"n": n})

    def on_reminder(self, entity: ActingEntity, name: str) -> None:
        entity.emit(f"faraway/rung/{entity.id.rpartition('/')[2]}-{name}", {"n": int(name)})


class Ledger(Behaviour):
    """Knows whether the effects came in order, each once."""

    match = "near/ledger/*"

    def reduce(self, state: dict[str, Any], event: SeenEvent) -> dict[str, Any]:
        last, n = state.get("last", 0), event.properties["n"]
        return {"last": n, "wrong": state.get("wrong", 0) + (n != last + 1)}


class Counting(Behaviour):
    """Counts its events."""

    match = ("faraway/each/*", "faraway/rung/*")

    def reduce(self, state: dict[str, Any], event: SeenEvent) -> dict[str, Any]:
        return {"times": state.get("times", 0) + 1}


class SlowLog(MemoryLog):
    """Takes some turns of the loop before and behind each append, as a disk does."""

    turns = 0

    async def append(self, partition: int, data: bytes, block_id: str, timeout_s: float) -> int:
        await turns(self.turns)
        sequence = await super().append(partition, data, block_id, timeout_s)
        await turns(self.turns)
        return sequence


async def turns(count: int) -> None:
    """Let the loop go round so often."""
    for _ in range(count):
        await asyncio.sleep(0)


class ActingTwin(World):
    """Partitions that act; the reminders of each are rung as a shard does."""

    def __init__(self) -> None:
        super().__init__()
        self.log = self.slow = SlowLog(PARTITIONS)
        self.reducers = DirectReducers()
        self.states = [self.empty(partition) for partition in range(PARTITIONS)]
        self.expirers = [Expirer(self.log, partition) for partition in range(PARTITIONS)]
        self._zombies: list[Dispatcher] = []
        self._ringing: asyncio.Task[None] | None = None

    def empty(self, partition: int) -> PartitionState:
        state = PartitionState(partition)
        state.acting.reducers = self.reducers.of_partition(partition)
        return state

    async def begin(self) -> None:
        await super().begin()
        for version in await self.deploy(Teller, Ledger, Counting):
            self.reducers.load(version.digest, self.codes[version.digest])
        self._ringing = asyncio.create_task(self._ring())

    async def crash(self, partition: int, *, snapshot: bool) -> None:
        """End the shard of a partition; another one makes its state anew."""
        folding = self._folding[partition]
        while not folding.done():  # in Python 3.11 `wait_for` may lose a cancellation
            folding.cancel()
            await asyncio.wait([folding], timeout=0.1)
        dispatcher = self.dispatchers[partition]
        assert dispatcher is not None
        await dispatcher.close()
        state = self.empty(partition)
        if snapshot:
            cut = Cut(self.states[partition], "log")
            read_snapshot(list(iter(cut.next_slice, None)), state)
        self.states[partition] = state
        await self.replay(state)
        self.restart(partition)
        self._folding[partition] = asyncio.create_task(self._fold(partition))

    async def replay(self, state: PartitionState) -> None:
        """Bring a state to the end of the log."""
        last = (await self.log.bounds(state.partition)).last
        reader = self.log.reader(state.partition, state.sequence)
        while state.sequence < last:
            for block in await reader.pull(0.01):
                state.apply([(block.sequence, decode_block(block.data))])
        await reader.close()

    async def overtake(self, partition: int) -> None:
        """Have another dispatcher take over, while the one before does not know it and goes on."""
        zombie = self.dispatchers[partition]
        assert zombie is not None
        self._zombies.append(zombie)
        self.restart(partition)

    def lose(self, calls: int, *, blamed: bool) -> None:
        """Have the next calls of workers end with their process."""
        run = 0 if blamed else NOBODY
        self.workers.losses += [WorkerLost(LOST, "killed", run) for _ in range(calls)]

    async def settled(self) -> None:
        """Return when nothing waits, neither messages nor reminders."""
        async with asyncio.timeout(SETTLE_S):
            while not await self._is_idle() or self._rings():  # noqa: ASYNC110 - the log is no event
                await asyncio.sleep(0.001)

    def _rings(self) -> bool:
        """Whether a reminder is set: one that is about to ring is no timer's any more."""
        actors = (actor for state in self.states for actor in state.entities.values())
        return any(actor.leases is not None and actor.leases.reminder_rows() for actor in actors)

    async def close(self) -> None:
        if self._ringing is not None:
            self._ringing.cancel()
        for zombie in self._zombies:
            await zombie.close()
        await super().close()
        for expirer in self.expirers:
            await expirer.close()

    async def _ring(self) -> None:
        while True:
            for state, expirer in zip(self.states, self.expirers, strict=True):
                expirer.step(state)
            await asyncio.sleep(0.001)
