from __future__ import annotations

import msgspec
import pytest

from flux_actors.backup import manifest as manifests
from flux_actors.backup.manifest import FileFacts, KeptSnapshot, Manifest, Part, Segment
from flux_actors.errors import Corrupt, Refused
from flux_actors.places.memory import MemoryPlace

HOUR_US = 3_600_000_000


def made(began_us: int = 1_700_000_000_000_001) -> Manifest:
    file = FileFacts("log/0/a.blocks", 10, "00")
    snapshot = KeptSnapshot(FileFacts("snapshots/0/b.flux", 5, "11"), 3, 900)
    part = Part(0, 1, 4, "22", [Segment(file, 1, 4, 1_000)], [snapshot])
    return Manifest(1, "0", "log", began_us, began_us + 1, [part], FileFacts("stores/c.json", 2, "33"))


def test_manifest_is_read_as_it_was_written() -> None:
    assert manifests.decode(manifests.encode(made())) == made()


def test_manifest_names_every_file() -> None:
    names = [facts.name for facts in made().files()]
    assert names == ["stores/c.json", "log/0/a.blocks", "snapshots/0/b.flux"]


@pytest.mark.parametrize("change", [(b'"last":4', b'"last":5'), (b'"0"', b'"1"'), (b"{", b"["), (b"}", b"")])
def test_changed_manifest_is_corrupt(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(Corrupt):
        manifests.decode(manifests.encode(made()).replace(*change))


def test_manifest_of_a_later_flux_says_so() -> None:
    with pytest.raises(Corrupt, match="format 2 is not known"):
        manifests.decode(manifests.encode(msgspec.structs.replace(made(), format=2)))


def test_manifests_stand_in_the_order_of_their_times() -> None:
    times = [0, 1, 999_999, 1_000_000, 1_700_000_000_000_000, 1_700_000_000_000_010]
    names = [made(began_us).name for began_us in times]
    assert names == sorted(names)
    assert names[-1] == "2023-11-14T22-13-20.000010Z.json"


def test_the_newest_one_counts() -> None:
    place = MemoryPlace()
    assert manifests.newest(place) is None
    for began_us in (2 * HOUR_US, 3 * HOUR_US, HOUR_US):
        manifests.write(place, made(began_us))
    found = manifests.newest(place)
    assert found is not None
    assert found.began_us == 3 * HOUR_US


@pytest.mark.parametrize(
    ("at_us", "expected"), [(None, 3), (1, 1), (HOUR_US, 2), (3 * HOUR_US - 1, 3), (9 * HOUR_US, 3)]
)
def test_the_first_backup_that_began_behind_a_time_has_all_up_to_it(at_us: int | None, expected: int) -> None:
    place = MemoryPlace()
    for hour in (1, 2, 3):
        manifests.write(place, made(hour * HOUR_US))
    assert manifests.reaching(place, at_us).began_us == expected * HOUR_US


def test_place_without_a_backup_is_refused() -> None:
    with pytest.raises(Refused, match="no finished backup"):
        manifests.reaching(MemoryPlace(), None)


def test_damaged_manifest_is_told_by_name() -> None:
    place = MemoryPlace()
    manifests.write(place, made())
    (name,) = place.files
    place.damage(name)
    with pytest.raises(Corrupt, match=name):
        manifests.newest(place)
