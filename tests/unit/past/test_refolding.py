"""Folding again: at any place of any log it is what the fold of that prefix is, wherever it begins."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.dedupe import DedupeWindow
from flux_actors.domain.terms import ACQUIRE, Claim, Terms
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.block import encode_block, encode_event
from flux_actors.past.refolding import Refolder
from flux_actors.past.target import PRESENT, ThroughPosition, ThroughTime
from tests.unit.domain.strategies import logs, many, with_terms
from tests.unit.past.folding import TORN, Folding, place, seen
from tests.unit.past.writing import write
from tests.unit.shard.hosting import NEWER_BLOCK, event

PREFIXES = st.sampled_from(["", "a/", "a/1", "b/", "a", "p", "plain", "none/"])
PLACES = st.lists(st.integers(1, 9), max_size=3)


@many
@given(logs, PREFIXES, PLACES, st.integers(0, 9), st.integers(0, 5))
async def test_state_at_any_position_is_the_fold_up_to_it(log, prefix, snapshots, sequence, offset):
    folding = await Folding.of(log, snapshots)
    sequence = min(sequence, len(folding.blocks))
    then = await folding.refolder.state(0, prefix, ThroughPosition(place(sequence, offset)))
    assert seen(then, prefix) == folding.seen_at(place(sequence, offset), prefix)


@many
@given(logs, PREFIXES, PLACES, st.integers(-1, 51))
async def test_state_at_any_time_is_the_fold_up_to_it(log, prefix, snapshots, time_us):
    folding = await Folding.of(log, snapshots)
    then = await folding.refolder.state(0, prefix, ThroughTime(time_us))
    blocks = sum(clock_us <= time_us for clock_us in folding.clocks())
    assert seen(then, prefix) == seen(folding.state(blocks), prefix)


@many
@given(logs, PREFIXES, PLACES, st.integers(0, 9), st.integers(-1, 5), st.integers(0, 9))
async def test_changes_are_those_of_the_fold(log, prefix, snapshots, sequence, offset, until):
    folding = await Folding.of(log, snapshots)
    until = min(until, len(folding.blocks))
    after = place(min(sequence, len(folding.blocks)), 0) + offset
    found = await folding.refolder.changes(0, prefix, after, until)
    whole = [step for step in folding.changes() if step[1].startswith(prefix)]
    assert found == [step for step in whole if after < step[0] < place(until + 1, 0)]


@many
@given(logs, PREFIXES, PLACES, st.integers(1, 10), st.integers(0, 9))
async def test_trimmed_log_tells_the_same_or_that_it_is_gone(log, prefix, snapshots, first, sequence):
    folding = await Folding.of(log, snapshots)
    sequence = min(sequence, len(folding.blocks))
    folding.log.trim(0, first)
    first = min(first, len(folding.blocks) + 1)
    reaches = first == 1 or any(first - 1 <= kept <= sequence for kept in folding.store.sequences(0))
    target = ThroughPosition(place(sequence + 1, 0) - 1)
    if reaches:
        assert seen(await folding.refolder.state(0, prefix, target), prefix) == seen(
            folding.state(sequence), prefix
        )
    else:
        with pytest.raises(Refused) as refused:
            await folding.refolder.state(0, prefix, target)
        assert refused.value.status == 410


async def test_what_is_gone_says_from_when_the_past_is_known():
    folding = await write(Folding(), [event("n/e", {"v": n}) for n in range(3)])
    folding.snapshot(2)
    folding.log.trim(0, 3)
    with pytest.raises(Refused, match=r"is known from 1970-01-01T00:00:00\.000002\+00:00 on") as gone:
        await folding.refolder.state(0, "n/", ThroughPosition(place(1, 0)))
    assert gone.value.status == 410
    with pytest.raises(Refused, match="is known from"):
        await folding.refolder.changes(0, "n/", place(1, 0), 3)
    assert seen(await folding.refolder.state(0, "n/", ThroughTime(2)))["n/e"][0] == {"v": 1}


async def test_log_that_was_trimmed_without_a_snapshot_says_where_it_begins():
    folding = await write(Folding(), [event("n/e", {"v": n}) for n in range(3)])
    folding.log.trim(0, 3)
    with pytest.raises(Refused, match=r"trimmed before 1970-01-01T00:00:00\.000003"):
        await folding.refolder.state(0, "n/", PRESENT)
    folding.log.trim(0, 4)
    with pytest.raises(Refused, match="no past of it is known"):
        await folding.refolder.state(0, "n/", PRESENT)


async def test_a_damaged_snapshot_is_passed_over_for_the_one_before(monkeypatch):
    folding = await write(Folding(), [event("n/e", {"v": n}) for n in range(4)])
    folding.snapshot(1)
    folding.snapshot(3)
    folding.store.damage(0, 3)
    folding.log.trim(0, 2)
    assert seen(await folding.refolder.state(0, "", PRESENT))["n/e"][0] == {"v": 3}


async def test_snapshot_of_another_log_is_passed_over():
    folding = await write(Folding(), [event("n/e", {"v": n}) for n in range(2)])
    folding.log.log_id = "another"
    folding.snapshot(2)
    folding.log.log_id = "memory"
    folding.log.trim(0, 2)
    with pytest.raises(Refused, match="trimmed"):
        await folding.refolder.state(0, "", PRESENT)


async def test_it_begins_with_the_newest_snapshot_that_is_old_enough(monkeypatch):
    folding = await write(Folding(), [event("n/e", {"v": n}) for n in range(9)])
    for sequence in (2, 5, 8):
        folding.snapshot(sequence)
    began = []
    reader = folding.log.reader
    monkeypatch.setattr(folding.log, "reader", lambda p, after: began.append(after) or reader(p, after))
    for sequence in (9, 6, 4, 1):
        await folding.refolder.state(0, "", ThroughPosition(place(sequence, 0)))
    assert began == [8, 5, 2, 0]


async def test_entities_of_other_namespaces_are_not_kept():
    folding = await write(Folding(), [event(f"{n}/e", {"v": 1}) for n in "abc"])
    folding.snapshot(2)
    await write(folding, [event(f"{n}/f", {"v": 1}, "named") for n in "abc"])
    state = await folding.refolder.state(0, "b/", PRESENT)
    assert {actor.entity_id for actor in state.entities.values() if actor.lives} == {"b/e", "b/f"}
    assert len(state.entities) == 4  # a stand-in for each namespace with a named event


async def test_window_counts_the_ids_of_all_namespaces(monkeypatch):
    """A retry that comes so late that its id was forgotten is another event, as it was when it came."""
    monkeypatch.setattr(limits, "dedupe_events_min", 4)
    monkeypatch.setattr(limits, "dedupe_window_s", 0)
    folding = await write(Folding(), [event("n/e", {"v": 1}, "id")])
    await write(folding, [event(f"other/{n}", {"v": n}, f"id {n}") for n in range(9)])
    await write(folding, [event("n/e", {"v": 2}, "id")])
    assert folding.state(11).entities["n/e"].properties == {"v": 2}
    for sequence in (0, 5):
        if sequence:
            folding.snapshot(sequence)
        assert seen(await folding.refolder.state(0, "n/", PRESENT))["n/e"][0] == {"v": 2}


async def test_target_behind_the_end_of_the_log_is_unavailable():
    folding = await write(Folding(), [event("n/e", {"v": 1})])
    with pytest.raises(Unavailable, match="not come to that position"):
        await folding.refolder.state(0, "", ThroughPosition(place(2, 0)))
    with pytest.raises(Unavailable):
        await folding.refolder.changes(0, "", 0, 2)
    folding.log.away = True
    with pytest.raises(Unavailable):
        await folding.refolder.state(0, "", PRESENT)


async def test_blocks_that_cannot_be_read_keep_their_place_and_newer_ones_are_refused():
    folding = await write(Folding(), [event("n/e", {"v": 1})])
    await folding.write(TORN)
    await write(folding, [event("n/e", {"v": 2})])
    state = await folding.refolder.state(0, "", ThroughPosition(place(3, 0)))
    assert (state.sequence, seen(state)["n/e"][0]) == (3, {"v": 2})
    assert (await folding.refolder.state(0, "", ThroughPosition(place(2, 0)))).sequence == 2
    await folding.write(NEWER_BLOCK)
    with pytest.raises(Corrupt, match="upgrade"):
        await folding.refolder.state(0, "", PRESENT)


async def test_a_log_that_is_trimmed_while_it_is_read_is_asked_again(monkeypatch):
    monkeypatch.setattr(limits, "pull_blocks", 1)
    folding = await write(Folding(), [event("n/e", {"v": n}) for n in range(5)])
    reading = asyncio.create_task(folding.refolder.state(0, "", PRESENT))
    await asyncio.sleep(0)
    folding.log.trim(0, 5)
    with pytest.raises((Unavailable, Refused), match="trimmed"):
        await reading


async def test_too_many_changes_or_entities_are_refused(monkeypatch):
    folding = await write(Folding(), [event(f"n/{n}", {"v": n}) for n in range(5)])
    monkeypatch.setattr(limits, "past_changes_max", 4)
    assert len(await folding.refolder.changes(0, "", place(1, 0), 5)) == 4
    with pytest.raises(Refused, match="more than 4 changes") as refused:
        await folding.refolder.changes(0, "", -1, 5)
    assert refused.value.status == 413
    monkeypatch.setattr(limits, "past_entities_max", 4)
    with pytest.raises(Refused, match="more than 4 entities"):
        await folding.refolder.state(0, "n/", PRESENT)


@pytest.mark.parametrize("snapshots", [(), (2,)])
async def test_a_past_that_takes_too_much_memory_is_refused(snapshots):
    folding = await write(Folding(), [event("n/e", {"v": n}) for n in range(3)])
    for sequence in snapshots:
        folding.snapshot(sequence)
    refolder = Refolder(folding.log, folding.store, folding.code, lambda: False)
    with pytest.raises(Refused, match="GiB of memory") as refused:
        await refolder.state(0, "n/", ThroughPosition(place(3, 0) - 1))
    assert refused.value.status == 413


async def test_a_state_without_snapshots_has_the_window_of_the_whole_log():
    folding = await write(Folding(), [event("n/e", {"v": 1}, "id"), event("n/e", {"v": 2}, "id")])
    state = await folding.refolder.state(0, "n/", PRESENT)
    assert isinstance(state.window, DedupeWindow)
    assert seen(state)["n/e"][0] == {"v": 1}
    assert await folding.refolder.changes(0, "n/", place(1, 0), 2) == []


@pytest.mark.parametrize("snapshots", [(), (1,)])
async def test_a_claim_that_was_held_when_a_snapshot_was_made_is_held_in_its_past(snapshots):
    """Leases decide what later events do, so they come along with the entities of a snapshot."""
    folding = Folding()
    for number, holder in enumerate(("first", "second"), 1):
        terms = Terms(claim=Claim(ACQUIRE, holder, 60_000))
        claim = encode_event(with_terms(event("n/e", {}), terms))
        await folding.write(encode_block(1, number, number, [claim], termed=True))
        for sequence in snapshots:
            if sequence == number:
                folding.snapshot(sequence)
    (properties, position, _) = seen(await folding.refolder.state(0, "n/", PRESENT))["n/e"]
    assert (properties["claim"]["holder"], position) == ("first", place(1, 0))
