"""Taking backups, one after the other, interrupted, and of logs that were trimmed or took another course."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.backup.manifest import newest
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.memory import MemoryStores
from flux_actors.log.ports import LogBounds
from flux_actors.router.topology import LOG_KEY, REGISTRY_BUCKET, LogRegistry, encode
from tests.unit.backup.world import World


async def test_backup_has_blocks_snapshots_stores_and_code(world: World) -> None:
    await world.fill(range(100, 110))
    await world.snapshot()
    await world.deploy("home", 200)
    manifest = await world.back_up()
    assert newest(world.place) == manifest
    assert [(part.first, part.last, part.clock_us) for part in manifest.parts] == [(1, 11, 200), (1, 1, 200)]
    assert [one.sequence for one in manifest.parts[0].snapshots] == [10]
    assert [name.partition("/")[0] for name in sorted(world.place.files)] == [
        *("code", "log", "log", "manifests", "snapshots", "stores"),
    ]


async def test_second_backup_adds_what_is_new(world: World) -> None:
    await world.fill([1, 2, 3])
    await world.back_up()
    before = dict(world.place.files)
    await world.fill([4, 5])
    manifest = await world.back_up()
    assert before.items() <= world.place.files.items()
    assert [(one.first, one.last) for one in manifest.parts[0].segments] == [(1, 3), (4, 5)]
    added = world.place.files.keys() - before.keys()
    assert sorted(name.partition("/")[0] for name in added) == ["log", "manifests"]


async def test_backup_of_nothing_new_adds_a_manifest(world: World) -> None:
    await world.fill([1, 2])
    await world.back_up()
    count = len(world.place.files)
    await world.back_up()
    assert len(world.place.files) == count + 1


async def test_blocks_are_cut_into_files_of_a_bounded_size(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "backup_segment_bytes", 200)
    await world.fill(range(1, 21))
    segments = (await world.back_up()).parts[0].segments
    assert len(segments) > 3
    assert [one.first for one in segments[1:]] == [one.last + 1 for one in segments[:-1]]
    assert (segments[0].first, segments[-1].last) == (1, 20)


@pytest.mark.parametrize("room", range(6))
async def test_interrupted_backup_is_none_and_the_next_one_uses_what_it_wrote(
    world: World, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(limits, "backup_segment_bytes", 200)
    await world.fill(range(1, 21))
    await world.snapshot()
    world.place.room = room
    with pytest.raises(Unavailable, match="no room"):
        await world.back_up()
    assert newest(world.place) is None
    written = dict(world.place.files)
    assert len(written) == room
    world.place.room = None
    manifest = await world.back_up()
    assert written.keys() <= {facts.name for facts in manifest.files()}
    other, _ = await world.elsewhere()
    assert await other.wholes() == await world.wholes()


async def test_what_comes_while_it_is_taken_is_for_the_next_one(world: World) -> None:
    await world.fill([1, 2])

    async def digests() -> list[str]:
        await world.write(3, 3)
        return []

    world.code.digests = digests  # type: ignore[method-assign]
    assert (await world.back_up()).parts[0].last == 2
    assert (await world.back_up()).parts[0].last == 3


@pytest.mark.parametrize("removed", [False, True])
async def test_log_that_is_replaced_by_its_next_generation_meanwhile_makes_no_backup(
    world: World, *, removed: bool
) -> None:
    await world.fill([1, 2])
    bounds_of = world.log.bounds

    async def replaced(partition: int) -> LogBounds:
        registry = await world.stores.open(REGISTRY_BUCKET)
        await registry.put(LOG_KEY, encode(LogRegistry("next", 4, generation=2)))
        if removed:
            raise Corrupt("there is no such stream")
        return await bounds_of(partition)

    world.log.bounds = replaced  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="take the backup again"):
        await world.back_up()
    assert newest(world.place) is None


async def test_trimmed_log_is_backed_up_with_the_snapshot_that_stands_for_its_front(world: World) -> None:
    await world.fill(range(1, 11))
    await world.snapshot(until=6)
    world.log.trim(0, 5)
    part = (await world.back_up()).parts[0]
    assert (part.first, part.last, [one.sequence for one in part.snapshots]) == (5, 10, [6])


async def test_trimmed_log_without_such_a_snapshot_is_told(world: World) -> None:
    await world.fill(range(1, 11))
    await world.snapshot(until=3)
    world.log.trim(0, 5)
    with pytest.raises(Unavailable, match="begins at 5, and no snapshot"):
        await world.back_up()
    assert newest(world.place) is None


async def test_log_that_was_trimmed_behind_the_last_backup_begins_anew(world: World) -> None:
    await world.fill(range(1, 6))
    await world.back_up()
    await world.fill(range(6, 11))
    await world.snapshot()
    world.log.trim(0, 8)
    part = (await world.back_up()).parts[0]
    assert (part.first, part.last, len(part.segments)) == (8, 10, 1)


async def test_trimmed_log_keeps_what_earlier_backups_have(world: World) -> None:
    await world.fill(range(1, 6))
    await world.back_up()
    await world.fill(range(6, 11))
    await world.snapshot()
    world.log.trim(0, 6)
    part = (await world.back_up()).parts[0]
    assert (part.first, part.last) == (1, 10)


async def test_of_many_snapshots_the_newest_are_named_and_the_one_that_stands_for_the_front(
    world: World,
) -> None:
    await world.fill(range(1, 11))
    for until in (4, 5, 6, 7, 8):
        await world.snapshot(until=until)
    assert [one.sequence for one in (await world.back_up()).parts[0].snapshots] == [8, 7, 6]
    world.place.files.clear()
    world.log.trim(0, 5)
    assert [one.sequence for one in (await world.back_up()).parts[0].snapshots] == [8, 7, 6, 4]


async def test_damaged_snapshot_is_left_out_and_told(world: World) -> None:
    await world.fill(range(1, 11))
    await world.snapshot(until=4)
    await world.snapshot(until=8)
    world.snapshots.damage(0, 8)
    assert [one.sequence for one in (await world.back_up()).parts[0].snapshots] == [4]
    assert any("snapshot 8 of partition 0 left out" in text for text in world.told)


async def test_damaged_code_is_left_out_and_told(world: World) -> None:
    await world.deploy("home", 1)
    (digest,) = world.code.kept
    world.code.kept[digest] = b"other"
    assert (await world.back_up()).code == []
    assert any("left out" in text for text in world.told)


async def test_place_of_another_log_is_refused(world: World) -> None:
    await world.back_up()
    other = await World.begun()
    other.place = world.place
    registry = await other.stores.open("flux_registry")
    await registry.put("log", b'{"log_id":"another","partitions":2,"spread":[]}')
    with pytest.raises(Refused, match="another log"):
        await other.back_up()


@pytest.mark.parametrize("more", [1, 5])
async def test_log_that_was_restored_to_an_earlier_time_does_not_mix_with_its_later_self(
    world: World, more: int
) -> None:
    await world.fill(range(1, 11))
    await world.back_up()
    other, _ = await world.elsewhere(at_us=7)
    await other.fill(range(100, 100 + more))
    before = dict(world.place.files)
    with pytest.raises(Refused, match="another course"):
        await other.back_up()
    assert world.place.files == before


async def test_write_that_is_not_read_back_makes_no_backup(world: World) -> None:
    await world.fill([1])
    keep = world.place.take

    def damage(name: str, data: bytes) -> None:
        keep(name, data)
        if name.startswith("log/"):
            world.place.damage(name)

    world.place.take = damage  # type: ignore[method-assign]
    with pytest.raises(Corrupt, match="damaged"):
        await world.back_up()
    assert newest(world.place) is None


async def test_clock_that_went_back_leaves_the_newest_backup_the_newest(world: World) -> None:
    await world.fill([1])
    await world.back_up()
    world.now_us -= 5_000
    await world.fill([2])
    manifest = await world.back_up()
    assert newest(world.place) == manifest


async def test_clock_of_a_log_is_the_latest_of_its_blocks(world: World) -> None:
    await world.fill([100, 50])
    assert (await world.back_up()).parts[0].clock_us == 100
    await world.fill([60])
    assert [one.clock_us for one in (await world.back_up()).parts[0].segments] == [100, 100]


async def test_log_that_does_not_exist_is_refused_and_not_made() -> None:
    world = World(stores=MemoryStores())
    with pytest.raises(Refused, match="no log there yet"):
        await world.back_up()
    assert await world.stores.names() == []
