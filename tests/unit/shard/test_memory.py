"""A shard's memory: under its budget after every turn, over all its partitions, the idlest first."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.domain.event import Event
from flux_actors.log.block import Block
from flux_actors.shard import memory as memory_module
from flux_actors.shard.cold import MemoryColdStore
from flux_actors.shard.memory import Memory
from flux_actors.shard.weight import weigh

TEXT = "x" * 400


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "passivation_batch", 2)


class Stores:
    """Makes stores and remembers them."""

    def __init__(self) -> None:
        self.made: list[ClosedOnce] = []

    def __call__(self) -> MemoryColdStore:
        self.made.append(ClosedOnce())
        return self.made[-1]


class ClosedOnce(MemoryColdStore):
    """A store that knows whether it was closed."""

    closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        super().close()


@pytest.fixture
def stores() -> Stores:
    return Stores()


def block(number: int, clock_us: int, *names: str) -> tuple[int, Block]:
    events = [Event(name, {"text": TEXT}, "i", False, "s", "t", 1) for name in names]
    return number, Block(1, number, clock_us, list(events))


def weight_of(*states) -> int:
    return sum(weigh(actor) for state in states for actor in state.entities.values())


async def test_memory_is_under_the_budget_after_every_turn(stores: Stores) -> None:
    memory = Memory(20_000, stores)
    state = memory.state(0)
    for number in range(1, 30):
        state.apply([block(number, number, *(f"n/{number}-{index}" for index in range(5)))])
        await memory.relieve(0)
        assert weight_of(state) <= 1.05 * 20_000
    assert state.known == 29 * 5
    assert len(state.entities) > 10


async def test_under_the_budget_nothing_leaves(stores: Stores) -> None:
    memory = Memory(1 << 30, stores)
    state = memory.state(0)
    state.apply([block(1, 1, *(f"n/{index}" for index in range(50)))])
    await memory.relieve(0)
    assert len(state.entities) == state.known == 50


async def test_partition_that_is_idle_longest_gives_first(stores: Stores) -> None:
    memory = Memory(20_000, stores)
    idle, busy = memory.state(0), memory.state(1)
    idle.apply([block(1, 1, *(f"n/{index}" for index in range(15)))])
    await memory.relieve(0)
    for number in range(1, 4):
        busy.apply([block(number, number * 1_000, *(f"m/{index}" for index in range(15)))])
        await memory.relieve(1)
    assert weight_of(idle, busy) <= 1.1 * 20_000
    assert len(busy.entities) == 15
    assert len(idle.entities) < 15


async def test_the_loop_is_let_go_between_two_slices(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "passivation_slice_s", 0.0)
    memory = Memory(2_000, stores)
    state = memory.state(0)
    state.apply([block(1, 1, *(f"n/{index}" for index in range(40)))])
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await memory.relieve(0)
    task.cancel()
    assert turns > 10


async def test_without_room_the_shard_goes_on_and_tries_again_later(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, lines: list
) -> None:
    memory = Memory(2_000, stores)
    state = memory.state(0)
    stores.made[0].full = True
    state.apply([block(1, 1, *(f"n/{index}" for index in range(40)))])
    await memory.relieve(0)
    await memory.relieve(0)
    assert len(state.entities) == 40
    assert [line["event"] for line in lines] == ["passivation.waits"]
    stores.made[0].full = False
    await memory.relieve(0)
    assert len(state.entities) == 40
    monkeypatch.setattr(memory_module.time, "monotonic", lambda: 1 << 40)
    await memory.relieve(0)
    assert weight_of(state) <= 2_000


async def test_a_partition_that_is_hosted_no_longer_counts_no_longer(stores: Stores) -> None:
    memory = Memory(20_000, stores)
    gone, stays = memory.state(0), memory.state(1)
    for number in range(1, 9):
        gone.apply([block(number, number, f"g/{number}")])
        stays.apply([block(number, number, f"s/{number}")])
    before = weight_of(stays)
    memory.forget(0)
    assert stores.made[0].closed
    await memory.relieve(1)
    assert weight_of(stays) == before
    memory.forget(0)


async def test_new_state_of_a_partition_replaces_the_one_before(stores: Stores) -> None:
    memory = Memory(20_000, stores)
    before = memory.state(0)
    before.apply([block(1, 1, "n/a")])
    await memory.relieve(0)
    after = memory.state(0)
    assert (after.known, len(stores.made)) == (0, 2)
    with pytest.raises(AttributeError):
        stores.made[0].count()
    await memory.relieve(0)
