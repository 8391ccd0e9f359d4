from __future__ import annotations

from collections.abc import Iterable

import pytest

from flux_actors.backup.archive import Archive, check_file, checked, checked_chunks, facts_of
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.places.memory import MemoryPlace
from flux_actors.reporting import Reporter


def accept(chunks: Iterable[bytes]) -> None:
    """Find nothing wrong."""
    assert b"".join(chunks)


def refuse(chunks: Iterable[bytes]) -> None:
    raise Corrupt("it does not verify")


async def test_what_is_there_already_is_not_written_again() -> None:
    place = MemoryPlace()
    first = await Archive(place).keep("log/0/a", b"data")
    place.room = 0
    archive = Archive(place)
    assert await archive.has("log/0/a")
    assert await archive.keep("log/0/a", b"data") == first
    assert await archive.copy("log/0/a", lambda: [b"data"], accept) == first
    with pytest.raises(Unavailable):
        await archive.keep("log/0/b", b"data")


async def test_what_is_not_read_back_as_it_was_written_is_corrupt() -> None:
    place = MemoryPlace()
    archive = Archive(place)
    await archive.keep("a/b", b"data")
    await archive.check(Reporter(print))
    place.damage("a/b")
    with pytest.raises(Corrupt, match="a/b of the backup is damaged"):
        await archive.check(Reporter(print))


async def test_copy_that_does_not_verify_is_removed() -> None:
    place = MemoryPlace()
    archive = Archive(place)
    with pytest.raises(Corrupt, match="does not verify"):
        await archive.copy("a/b", lambda: [b"da", b"ta"], refuse)
    assert place.files == {}
    assert archive.added == []


async def test_copy_that_fails_on_the_way_leaves_nothing() -> None:
    def chunks() -> Iterable[bytes]:
        yield b"da"
        raise Corrupt("it is gone")

    place = MemoryPlace()
    with pytest.raises(Corrupt, match="gone"):
        await Archive(place).copy("a/b", chunks, accept)
    assert place.files == {}


@pytest.mark.parametrize("change", [b"", b"dat", b"data1", b"Data"])
async def test_every_way_of_reading_sees_a_changed_file(change: bytes) -> None:
    place = MemoryPlace()
    facts = await Archive(place).keep("a/b", b"data")
    assert checked(place, facts) == b"".join(checked_chunks(place, facts)) == b"data"
    assert facts_of(place, "a/b") == facts
    place.files["a/b"] = change
    for read in (
        lambda: checked(place, facts),
        lambda: list(checked_chunks(place, facts)),
        lambda: check_file(place, facts),
    ):
        with pytest.raises(Corrupt, match="damaged"):
            read()
