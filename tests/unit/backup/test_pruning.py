from __future__ import annotations

import pytest

from flux_actors.backup.archive import check_file
from flux_actors.backup.manifest import reaching
from flux_actors.backup.pruning import prune
from flux_actors.errors import Corrupt
from flux_actors.places.memory import MemoryPlace
from flux_actors.places.place import keep
from tests.unit.backup.world import World


@pytest.fixture
async def three(world: World) -> World:
    """Three backups, of which the second begins anew: the log was trimmed behind the first."""
    await world.fill([1, 2, 3])
    await world.back_up()
    await world.fill([4, 5, 6])
    await world.snapshot()
    world.log.trim(0, 6)
    await world.back_up()
    await world.deploy("home", 7)
    await world.back_up()
    return world


@pytest.mark.parametrize("kept", [1, 2, 3, 9])
async def test_what_the_newest_need_stays_and_all_else_goes(three: World, kept: int) -> None:
    place, before = three.place, len(three.place.files)
    removed = prune(place, kept)
    assert len(place.files) == before - removed
    assert len(place.names("manifests")) == min(kept, 3)
    assert (removed > 0) == (kept < 3)
    manifest = reaching(place, None)
    needed = {facts.name for facts in manifest.files()}
    if kept == 1:
        assert place.files.keys() == needed | {f"manifests/{manifest.name}"}
    for facts in manifest.files():
        check_file(place, facts)
    other, _ = await three.elsewhere()
    assert await other.wholes() == await three.wholes()
    assert prune(place, kept) == 0


async def test_what_an_interrupted_backup_left_goes(three: World) -> None:
    for name in ("log/0/x", "log/1/x", "snapshots/0/x", "stores/x", "code/x"):
        keep(three.place, name, b"x")
    keep(three.place, "others/x", b"x")
    assert prune(three.place, 9) == 5
    assert "others/x" in three.place.files


async def test_damaged_manifest_has_nothing_removed(three: World) -> None:
    place = three.place
    place.damage(f"manifests/{place.names('manifests')[1]}")
    before = dict(place.files)
    with pytest.raises(Corrupt):
        prune(place, 2)
    assert place.files == before
    prune(place, 1)
    assert len(place.names("manifests")) == 1


def test_place_without_backups_stays_as_it_is() -> None:
    place = MemoryPlace()
    keep(place, "log/0/x", b"x")
    assert prune(place, 1) == 0
    assert place.files
