"""The past of entities with reducers: at any place what a shard that was stopped there has."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.acting.catalogue import Catalogue, Deployed, Supervision
from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.event import DELETED, Event, with_terms
from flux_actors.domain.position import pack
from flux_actors.domain.terms import ABSENT, START, STOP, Order, Terms
from flux_actors.errors import Unavailable
from flux_actors.log.block import Block
from flux_actors.past.target import PRESENT, ThroughPosition
from flux_actors.shard.partition import decoded
from tests.unit.domain.acting.small_acting import COUNTING, ECHO, LAST, note, version
from tests.unit.domain.strategies import few
from tests.unit.past.folding import Folding, encoded, place, seen

BOTH = ["reduce", "on_change"]
CATALOGUES = [
    [Deployed("One", version(COUNTING, "a/*", BOTH))],
    [Deployed("One", version(LAST, "a/*", BOTH)), Deployed("Two", version(COUNTING, "b/*", ["reduce"]))],
    [Deployed("One", version(COUNTING, "a/*", BOTH, supervision=Supervision("stop")))],
    [Deployed("One", version(COUNTING, "a/*", BOTH), version(LAST, "a/*", BOTH), "a/2")],
    [Deployed("One", version(COUNTING, "a/*", BOTH), stopped=True)],
    [Deployed("One", version(ECHO, "a/*"))],
    [],
]


def event(
    entity_id: str, properties: dict[str, Any], terms: Terms | None = None, name: str | None = None
) -> Event:
    plain = Event(entity_id, properties, name or "made", name is not None, "s", "t", 1)
    return plain if terms is None else with_terms(plain, terms)


def caused(index: int, settled: int = 0, **more: Any) -> Terms:
    return Terms(cause=Cause(1, "a/1", pack(1, 0), index, settled), **more)


ids = st.sampled_from(["a/1", "a/1", "a/2", "b/1", "c/1"])
properties = st.sampled_from(
    [{"n": 1}, {"n": 2}, {"n": 3}, {"m": 1}, {"n": "one"}, {"n": None}, {DELETED: True}, {}]
)
terms = st.sampled_from(
    [
        *[None] * 6,
        *(caused(index) for index in range(3)),
        caused(1, pack(1, 1)),
        caused(2, remind={"r": 1}),
        Terms(told="x"),
        Terms(condition=ABSENT),
        Terms(condition=(0, pack(2, 0))),
        Terms(ttl_ms=1),
    ]
)
events = st.builds(event, ids, properties, terms, st.sampled_from([None, None, None, "i1", "i2"]))
orders = st.builds(
    Order,
    verb=st.sampled_from([STOP, START]),
    entity_id=ids,
    fault=st.just("x"),
    state=st.sampled_from([None, {"sum": 9}, {"n": 1, "sum": 1}]),
    sets_state=st.booleans(),
)
notes = st.builds(note, st.builds(Terms, order=orders)) | st.builds(
    note, st.builds(Terms, handled=st.lists(st.builds(pack, st.integers(1, 6), st.integers(0, 3))))
)
controls = st.integers(0, len(CATALOGUES) - 1)
logs = st.lists(st.lists(events | events | events | notes | controls, min_size=1, max_size=5), max_size=8)


def blocks_of(written: list[list[Any]]) -> list[Block]:
    """Number blocks and catalogues."""
    found, revision = [], 0
    for number, items in enumerate(written, 1):
        some = []
        for item in items:
            revision += 1
            control = isinstance(item, int)
            some.append(note(Terms(control=Catalogue(revision, CATALOGUES[item]))) if control else item)
        found.append(Block(1, number, number, some, has_terms=True))
    return found


def live_at(folding: Folding, sequence: int, offset: int) -> dict[str, Any]:
    """Return what readers see of a state to which the log was given up to an event, one by one."""
    state = folding.blank()
    for stored in folding.blocks[:sequence]:
        block: Any = decoded(stored)
        last = block.events[: offset + 1] if stored.sequence == sequence else block.events
        state.apply([(stored.sequence, block._replace(events=last))])
    return seen(state)


@few
@given(
    logs,
    st.sampled_from(["", "a/", "a/1", "b/", "c/"]),
    st.lists(st.integers(1, 8), max_size=3),
    st.integers(0, 8),
    st.integers(0, 4),
    st.sampled_from([2, 1_000]),
)
async def test_the_past_at_any_place_is_what_a_shard_stopped_there_has(
    written: list[list[Any]], prefix: str, snapshots: list[int], sequence: int, offset: int, mailbox: int
) -> None:
    with mock.patch.object(limits, "mailbox_messages_max", mailbox):
        folding = await Folding.of(blocks_of(written), snapshots)
        sequence = min(sequence, len(folding.blocks))
        then = await folding.refolder.state(0, prefix, ThroughPosition(place(sequence, offset)))
        expected = live_at(folding, sequence, offset)
        assert seen(then, prefix) == {k: v for k, v in expected.items() if k.startswith(prefix)}
        assert seen(then, prefix) == folding.seen_at(place(sequence, offset), prefix)


@few
@given(logs, st.sampled_from(["", "a/", "b/"]), st.lists(st.integers(1, 8), max_size=2), st.integers(0, 8))
async def test_changes_are_what_reducers_made(
    written: list[list[Any]], prefix: str, snapshots: list[int], after: int
) -> None:
    folding = await Folding.of(blocks_of(written), snapshots)
    after, until = place(min(after, len(folding.blocks)), 1), len(folding.blocks)
    found = await folding.refolder.changes(0, prefix, after, until)
    whole = [step for step in folding.changes() if step[1].startswith(prefix)]
    assert found == [step for step in whole if step[0] > after]


async def written(*items: Any) -> Folding:
    """Return a log with a block for each item."""
    return await Folding.of(blocks_of([[item] for item in items]))


async def test_each_event_is_reduced_by_the_version_that_held_when_it_came() -> None:
    one = event("a/1", {"n": 5})
    folding = await written(one, 0, one, one, 1, one, 6, one)
    found = {}
    for sequence in range(1, 9):
        state = await folding.refolder.state(0, "a/1", ThroughPosition(place(sequence, 0)))
        found[sequence] = {k: v for k, v in seen(state)["a/1"][0].items() if v is not None}
    assert found == {
        1: {"n": 5},
        2: {"n": 5},
        3: {"events": 1, "sum": 5},
        4: {"events": 2, "sum": 10},
        5: {"events": 2, "sum": 10},
        6: {"last": 5, "sum": 10},
        7: {"last": 5, "sum": 10},
        8: {"last": 5, "sum": 10, "n": 5},
    }


async def test_no_code_is_fetched_but_of_the_namespaces_that_are_asked_for() -> None:
    folding = await written(1, event("a/1", {"n": 1}), event("b/1", {"n": 1}))
    await folding.refolder.state(0, "c/", PRESENT)
    assert folding.digests.asked == []
    await folding.refolder.state(0, "b/", PRESENT)
    assert folding.digests.asked == [COUNTING]
    folding.snapshot(1)
    await folding.refolder.state(0, "a/", PRESENT)
    assert folding.digests.asked == [COUNTING, LAST]


async def test_a_past_whose_reducer_cannot_be_had_is_told_later() -> None:
    folding = await written(0, event("a/1", {"n": 1}))
    folding.digests.away = True
    with pytest.raises(Unavailable):
        await folding.refolder.state(0, "a/", PRESENT)
    assert seen(await folding.refolder.state(0, "b/", PRESENT)) == {}


async def test_between_an_overrun_and_its_verdict_an_entity_is_as_it_was_before() -> None:
    overran = event("a/1", {"n": "forever"})
    verdict = note(
        Terms(order=Order(STOP, "a/1", "took too long", pack(3, 0), {"events": 1, "sum": 1}, sets_state=True))
    )
    later = event("a/1", {"n": 1})
    folding = await written(0, later, overran, later, verdict, later)
    for sequence in range(2, 7):
        state = await folding.refolder.state(0, "a/", ThroughPosition(place(sequence, 0)))
        assert seen(state)["a/1"][0] == {"events": 1, "sum": 1}


async def test_an_effect_in_another_namespace_is_known_when_an_earlier_one_comes_again() -> None:
    """What is not behind the last effect of an entity came before, wherever that one was."""
    second, first = event("b/1", {"n": 2}, caused(2)), event("a/1", {"n": 1}, caused(1))
    folding = await written(5, second, first)
    assert seen(await folding.refolder.state(0, "a/", PRESENT)) == {}
    assert seen(folding.state(3), "a/") == {}


async def test_messages_that_wait_are_counted_and_not_kept() -> None:
    folding = await written(5, *[event("a/1", {"n": n}) for n in range(4)])
    folding.snapshot(3)
    state = await folding.refolder.state(0, "a/", PRESENT)
    assert state.acting.outbox.waiting("a/1") == 4
    assert all(one.state is None for one in state.acting.outbox.messages.values())


async def test_a_note_in_the_block_of_the_target_counts_as_far_as_the_target() -> None:
    order = note(Terms(order=Order(STOP, "a/1", "x", 0, {"sum": 7}, sets_state=True)))
    block = Block(1, 1, 1, [event("a/1", {"n": 1}), order, event("a/1", {"m": 2})], has_terms=True)
    folding = Folding()
    await folding.write(encoded(block))
    found = [
        seen(await folding.refolder.state(0, "a/", ThroughPosition(place(1, offset))))["a/1"][0]
        for offset in range(3)
    ]
    assert found == [{"n": 1}, {"n": None, "sum": 7}, {"n": None, "sum": 7, "m": 2}]
