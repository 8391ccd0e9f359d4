"""Retention: the front of a log goes when it is too old or too much, but nothing that no snapshot has."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.block import clock_of
from flux_actors.shard import retention as retention_module
from flux_actors.shard.life import live
from flux_actors.shard.retention import (
    FOR_EVER,
    Retention,
    Trimmer,
    decode_facts,
    encode_facts,
    keep_trimmed,
)
from tests.unit.domain.strategies import few
from tests.unit.shard.hosting import TORN_BLOCK, Hosting, event, properties_of, until

HOUR_S = 3_600


def hours_ago(hours):
    return time.time_ns() // 1_000 - int(hours * HOUR_S * 1_000_000)


@pytest.fixture
def hosting():
    return Hosting()


async def filled(hosting, ages, snapshots):
    """Write a block for each age in hours, oldest first, and keep snapshots behind some of them."""
    for number, hours in enumerate(ages, 1):
        await hosting.write(event("n/e", {"n": number}), clock_us=hours_ago(hours))
        if number in snapshots:
            await hosting.snapshot()


def trimmer(hosting, **bounds):
    return Trimmer(hosting.log, hosting.store, 0, Retention(**bounds))


async def first_of(hosting):
    return (await hosting.log.bounds(0)).first


@pytest.mark.parametrize(
    ("snapshots", "age_s", "first"),
    [
        ((3, 5, 7), 4.5 * HOUR_S, 4),  # as far as the oldest snapshot goes, though more are too old
        ((3, 5, 7), 7.5 * HOUR_S, 2),  # as far as they are too old
        ((3, 5, 7), 0.5 * HOUR_S, 4),
        ((3, 5, 7), 99 * HOUR_S, 1),
        ((5, 7), 1 * HOUR_S, 1),  # two are not all three
        ((), 1 * HOUR_S, 1),
        ((1, 8), 1 * HOUR_S, 1),
        ((6, 7, 8), 1 * HOUR_S, 7),
    ],
)
async def test_what_is_too_old_goes_as_far_as_snapshots_stand_for_it(hosting, snapshots, age_s, first):
    await filled(hosting, range(8, 0, -1), snapshots)
    removed = await trimmer(hosting, age_s=int(age_s)).trim("memory")
    assert (await first_of(hosting), removed) == (first, first - 1)
    assert properties_of(await hosting.recovered()) == {"n/e": {"n": 8}}


async def test_what_is_too_much_goes_as_far_as_snapshots_stand_for_it(hosting):
    await filled(hosting, [1] * 8, (4, 5, 6))
    size = (await hosting.log.usage(0)).size_bytes
    assert await trimmer(hosting, bytes_max=size).trim("memory") == 0
    await trimmer(hosting, bytes_max=size * 6 // 8).trim("memory")
    assert await first_of(hosting) == 3
    await trimmer(hosting, bytes_max=1).trim("memory")
    assert await first_of(hosting) == 5


@few
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.sets(st.integers(1, 12)),
    st.none() | st.integers(1, 9 * HOUR_S),
    st.none() | st.integers(0, 2_000),
)
async def test_recovery_from_any_kept_snapshot_tells_the_same_after_a_trim(ages, snapshots, age_s, bytes_max):
    hosting = Hosting()
    await filled(hosting, ages, snapshots)
    before = properties_of(await hosting.recovered())
    await trimmer(hosting, age_s=age_s, bytes_max=bytes_max).trim("memory")
    kept = hosting.store.sequences(0)
    for sequence in kept or [0]:
        assert properties_of(await hosting.recovered()) == before
        if sequence:
            hosting.store.damage(0, sequence)  # fall back to the one before


async def test_a_damaged_snapshot_stands_for_nothing(hosting):
    await filled(hosting, [9] * 4, (1, 2, 3))
    hosting.store.damage(0, 1)
    with pytest.raises(Corrupt):
        await trimmer(hosting, age_s=1).trim("memory")
    assert await first_of(hosting) == 1


async def test_a_snapshot_is_verified_once(hosting, monkeypatch):
    await filled(hosting, [9] * 6, (4, 5, 6))
    verified = []
    monkeypatch.setattr(retention_module, "verify_snapshot", lambda chunks: verified.append(list(chunks)))
    one = trimmer(hosting, bytes_max=(await hosting.log.usage(0)).size_bytes * 5 // 6)
    assert await one.trim("memory") == 1
    await hosting.write(event("n/e", {"n": 7}))
    assert await one.trim("memory") == 1
    assert len(verified) == 1


async def test_a_snapshot_or_a_log_of_another_kind_is_left_alone(hosting):
    await filled(hosting, [9] * 4, (1, 2, 3))
    assert await trimmer(hosting, age_s=1).trim("another") == 0
    hosting.log.log_id = "another"
    with pytest.raises(Corrupt, match="another log"):
        await trimmer(hosting, age_s=1).trim("another")
    assert await first_of(hosting) == 1


async def test_a_message_that_is_no_block_is_as_young_as_can_be(hosting):
    await hosting.write_bytes(TORN_BLOCK)
    await filled(hosting, [9] * 4, (1, 2, 3))
    assert await trimmer(hosting, age_s=1).keeps_from(await hosting.log.bounds(0), [4, 3, 2]) in {1, 3}


async def test_facts_tell_what_the_log_holds_and_what_a_trim_would_keep(hosting):
    await filled(hosting, [9, 8, 2, 1], (1, 2, 3))
    facts = await trimmer(hosting, age_s=HOUR_S).facts()
    clocks = [clock_of(await hosting.log.block(0, s)) for s in (1, 2, 4)]
    assert (facts.blocks, facts.first, facts.last, facts.snapshots) == (4, 1, 4, [3, 2, 1])
    assert facts.size_bytes == (await hosting.log.usage(0)).size_bytes
    assert (facts.first_us, facts.oldest_us, facts.last_us) == (clocks[0], clocks[0], clocks[2])
    assert facts.keeps_from == 2
    assert (await trimmer(hosting).facts()).keeps_from == 1
    empty = await Trimmer(hosting.log, hosting.store, 1, FOR_EVER).facts()
    assert (empty.blocks, empty.first, empty.last, empty.first_us, empty.last_us) == (0, 1, 0, None, None)
    assert (empty.snapshots, empty.oldest_us, empty.keeps_from) == ([], None, 1)


async def test_a_running_partition_is_trimmed_after_each_snapshot_whatever_failed_before(hosting, lines):
    await filled(hosting, [9] * 3, (1, 2))
    host = await hosting.recovered()
    trimming = asyncio.create_task(keep_trimmed(host, Retention(age_s=1)))
    await asyncio.sleep(0)
    assert await first_of(hosting) == 1
    hosting.log.away = True
    host.snapshot_kept.set()
    await until(lambda: [line for line in lines if line["event"] == "log.not_trimmed"])
    hosting.log.away = False
    await hosting.snapshot()
    host.snapshot_kept.set()
    await until(lambda: [line for line in lines if line["event"] == "log.trimmed"])
    assert await first_of(hosting) == 2
    trimming.cancel()


async def test_a_partition_that_ends_trims_no_longer(hosting, monkeypatch, lines):
    monkeypatch.setattr(limits, "heartbeat_s", 0.001)
    await filled(hosting, [9] * 4, (1, 2, 3))
    host = hosting.host()
    life = asyncio.create_task(live(host, 1, Retention(age_s=1)))
    await until(lambda: [line for line in lines if line["event"] == "log.trimmed"])
    host.draining = True
    await life
    await until(lambda: not any("keep_trimmed" in repr(task) for task in asyncio.all_tasks()))
    assert await first_of(hosting) == 2


async def test_shares_of_partitions_are_equal_and_nothing_is_bounded_unless_asked():
    assert Retention(5, 100).share(3) == Retention(5, 33)
    assert Retention(5).share(3) == Retention(5)
    assert (FOR_EVER.bounded, Retention(1).bounded, Retention(None, 1).bounded) == (False, True, True)


async def test_facts_travel_between_processes(hosting):
    facts = await trimmer(hosting).facts()
    assert decode_facts(encode_facts(facts)) == facts


async def test_a_log_that_cannot_be_reached_is_not_trimmed(hosting):
    await filled(hosting, [9] * 4, (1, 2, 3))
    hosting.log.away = True
    with pytest.raises(Unavailable):
        await trimmer(hosting, age_s=1).trim("memory")
