"""What a restore brings back: the same blocks at the same sequences, and all that belongs to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.backup.manifest import reaching
from flux_actors.backup.restoring import Target, restore
from flux_actors.behaviour.deployer import CATALOGUE_BUCKET, CATALOGUE_KEY, Deployer
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.memory import MemoryRebuilder
from flux_actors.router.registering import register_log
from flux_actors.router.topology import REGISTRY_BUCKET, RESTORING_KEY
from tests.unit.backup.world import World
from tests.unit.domain.strategies import few

steps = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "snapshot", "trim", "back up", "deploy"]),
        st.integers(0, 1),
    ),
    max_size=25,
)


async def played(script: list[tuple[str, int]]) -> World:
    """Return a world after some steps, the last of which is a backup."""
    world = await World.begun()
    for clock_us, (step, partition) in enumerate([*script, ("back up", 0)], 1):
        match step:
            case "write":
                await world.write(clock_us, clock_us, partition, f"a/{clock_us % 3}")
            case "snapshot":
                await world.snapshot(partition)
            case "trim" if world.snapshots.sequences(partition):
                world.log.trim(partition, world.snapshots.sequences(partition)[-1] + 1)
            case "deploy":
                await world.deploy(f"b{clock_us}", clock_us)
            case "back up":
                world.now_us = clock_us - 1_000 + 1
                await world.back_up()
    return world


@given(steps)
@few
async def test_restored_log_is_the_same_at_the_same_positions(script: list[tuple[str, int]]) -> None:
    world = await played(script)
    other, restored = await world.elsewhere()
    assert await other.wholes() == await world.wholes()
    assert await other.stored() == await world.stored()
    assert other.code.kept == world.code.kept
    for partition in range(2):
        ours, theirs = await world.blocks(partition), await other.blocks(partition)
        assert ours.items() <= theirs.items()  # what was trimmed since an earlier backup is there again
        assert (await other.log.bounds(partition)).last == (await world.log.bounds(partition)).last
        assert (await other.log.bounds(partition)).log_id == "log"
        assert restored.ends[partition] == (await world.log.bounds(partition)).last


@given(steps, st.integers(0, 26))
@few
async def test_restored_to_a_time_it_is_what_it_was_then(script: list[tuple[str, int]], at_us: int) -> None:
    world = await played(script)
    then = await played([step if step[0] != "trim" else ("none", 0) for step in script[:at_us]])
    other = await elsewhere_unless_gone(world, at_us)
    if other is None:
        assert any(step == "trim" for step, _ in script)
        return
    for partition in range(2):
        assert (await other.log.bounds(partition)).last == (await then.log.bounds(partition)).last
    found, expected = await other.wholes(), await then.wholes()
    assert [one.rows for one in found] == [one.rows for one in expected]
    assert [one.clock_us for one in found] == [one.clock_us for one in expected]


async def elsewhere_unless_gone(world: World, at_us: int) -> World | None:
    """Return what a restore makes, `None` when it says that the backup does not reach back so far."""
    try:
        return (await world.elsewhere(at_us))[0]
    except Refused as error:
        if error.status != 410:
            raise
    return None


async def test_restored_log_goes_on_as_the_old_one_would(world: World) -> None:
    await world.fill(range(1, 6))
    await world.back_up()
    other, _ = await world.elsewhere()
    assert await other.write(9, 9) == 6
    await other.back_up()  # to the same place: it is the same log


async def test_deployment_that_came_later_is_not_brought_back(world: World) -> None:
    await world.deploy("home", 10)
    await world.write(1, 20)
    await world.deploy("office", 30)
    await world.back_up()
    other, _ = await world.elsewhere(at_us=20)
    store = await other.stores.open(CATALOGUE_BUCKET)
    catalogue = await Deployer(store, other.code, other.log, 2, lambda: 0).catalogue()
    assert [one.name for one in catalogue.deployed] == ["home"]
    assert (await other.state(0)).acting.catalogue == catalogue
    before, _ = await world.elsewhere(at_us=5)
    store = await before.stores.open(CATALOGUE_BUCKET)
    assert await store.get(CATALOGUE_KEY) is None


async def test_deployment_in_front_of_a_trimmed_log_is_known_from_its_snapshot(world: World) -> None:
    catalogue = await world.deploy("home", 10)
    await world.fill([20, 21, 22])
    await world.snapshot(until=3)
    world.log.trim(0, 4)
    await world.snapshot(1)
    world.log.trim(1, 2)
    await world.fill([30])
    await world.back_up()
    other, _ = await world.elsewhere(at_us=22)
    assert (await other.state(0)).acting.catalogue == catalogue
    store = await other.stores.open(CATALOGUE_BUCKET)
    assert await Deployer(store, other.code, other.log, 2, lambda: 0).catalogue() == catalogue


async def test_flux_does_not_start_on_a_restore_that_was_not_finished(world: World) -> None:
    await world.fill([1])
    manifest = await world.back_up()
    world.place.damage(manifest.stores.name)
    other = World(place=world.place)
    with pytest.raises(Corrupt, match="damaged"):
        await _restore_into(world, other)
    registry = await other.stores.open(REGISTRY_BUCKET)
    assert await registry.get(RESTORING_KEY) is not None
    with pytest.raises(Refused, match="not finished"):
        await register_log(registry, "new", None, frozenset())


async def _restore_into(world: World, other: World) -> None:
    target = Target(MemoryRebuilder(other.log), other.snapshots, other.stores, other.code)
    await restore(world.place, reaching(world.place, None), target, None, world.told.append)


@pytest.mark.parametrize("folder", ["log/0", "snapshots/0", "code"])
async def test_damaged_file_ends_a_restore(world: World, folder: str) -> None:
    await world.fill([1, 2])
    await world.snapshot()
    await world.deploy("home", 3)
    await world.back_up()
    world.place.damage(next(name for name in world.place.files if name.startswith(f"{folder}/")))
    with pytest.raises(Corrupt, match="damaged"):
        await world.elsewhere()


async def test_file_that_is_missing_ends_a_restore(world: World) -> None:
    await world.fill([1, 2])
    await world.back_up()
    del world.place.files[next(name for name in world.place.files if name.startswith("log/"))]
    with pytest.raises(Corrupt, match="is not there"):
        await world.elsewhere()


async def test_target_that_is_away_is_told(world: World) -> None:
    await world.fill([1])
    await world.back_up()
    other = World()
    other.log.away = True
    with pytest.raises(Unavailable):
        await _restore_into(world, other)


async def test_log_that_is_there_is_not_restored_over(world: World) -> None:
    await world.fill([1])
    await world.back_up()
    rebuilder = MemoryRebuilder(World().log)
    await rebuilder.make(0, 1, "log")
    with pytest.raises(Refused, match="already"):
        await rebuilder.make(0, 1, "log")


async def test_how_far_it_is_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.fill([1, 2])
    await world.back_up()
    monkeypatch.setattr(limits, "report_every_s", 0.0)
    _, restored = await world.elsewhere()
    assert "partition 0: block 2 of 2, 0 MiB" in world.told
    assert (restored.blocks, restored.ends, restored.clock_us) == (2, [2, 0], 2)
