from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.backup.cutting import cut
from flux_actors.errors import Corrupt, Refused
from tests.unit.backup.world import World
from tests.unit.domain.strategies import few


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 10), st.integers(1, 300))
@few
async def test_cut_is_the_longest_prefix_whose_clock_is_not_later(
    clocks_us: list[int], at_us: int, segment_bytes: int
) -> None:
    world = await World.begun()
    await world.fill(clocks_us)
    before, limits.backup_segment_bytes = limits.backup_segment_bytes, segment_bytes  # type: ignore[misc]
    try:
        part = (await world.back_up()).parts[0]
    finally:
        limits.backup_segment_bytes = before  # type: ignore[misc]
    expected = 0
    for number, clock_us in enumerate(clocks_us, 1):
        if clock_us > at_us:
            break
        expected = number
    assert (await cut(world.place, part, at_us)).last == expected
    assert (await cut(world.place, part, None)).last == len(clocks_us)


async def test_cut_takes_the_snapshots_in_front_of_it(world: World) -> None:
    await world.fill(range(1, 11))
    for until in (3, 5, 9):
        await world.snapshot(until=until)
    part = (await world.back_up()).parts[0]
    found = await cut(world.place, part, 6)
    assert (found.last, found.whole, [one.sequence for one in found.snapshots]) == (6, False, [5, 3])
    assert [one.first for one in found.segments] == [1]


async def test_time_in_front_of_what_a_trimmed_log_knows_is_gone(world: World) -> None:
    await world.fill(range(1, 11))
    await world.snapshot(until=6)
    world.log.trim(0, 5)
    part = (await world.back_up()).parts[0]
    assert (await cut(world.place, part, 6)).last == 6
    with pytest.raises(Refused, match=r"from 1970-01-01T00:00:00\.000006") as caught:
        await cut(world.place, part, 5)
    assert caught.value.status == 410


async def test_damaged_file_is_seen_before_it_is_cut(world: World) -> None:
    await world.fill(range(1, 11))
    part = (await world.back_up()).parts[0]
    world.place.damage(part.segments[0].file.name)
    with pytest.raises(Corrupt, match="damaged"):
        await cut(world.place, part, 5)
