from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.change import Change, Step
from flux_actors.domain.entity import EntityActor, render
from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.event import Event
from flux_actors.domain.fold import PartitionState, SetAside, Unreadable
from flux_actors.domain.position import pack, unpack
from flux_actors.errors import Corrupt
from flux_actors.log.block import Block, Poison, decode_block, decode_block_heads, encode_block, encode_event
from tests.unit.domain.strategies import few, logs, many, numbered, plain_logs, whole


def event(entity_id: str | None, properties: dict[str, Any] | None, name: str = "") -> Event:
    return Event(entity_id, properties, name or "made", bool(name), "s", "t", 1)


def block(*events: Event | Poison, number: int = 1, committer: int = 1, clock_us: int = 1) -> Block:
    return Block(committer, number, clock_us, list(events))


def folded(*blocks: Block) -> PartitionState:
    state = PartitionState(0)
    state.apply(numbered(list(blocks)))
    return state


def properties_of(state: PartitionState) -> dict[str, dict[str, Any]]:
    return {actor.entity_id: actor.properties or {} for actor in state.living(state.entities)}


def changes_of(state: PartitionState, log: list[Block]) -> list[Change]:
    return [Change(*step) for step in state.apply(numbered(log)).changes]


def model(log: list[Block]) -> dict[str, tuple[dict[str, Any], int]]:
    """The contract, event by event: properties and clock of each living entity."""
    entities: dict[str, tuple[dict[str, Any], int]] = {}
    newest: dict[int, int] = {}
    names: set[tuple[str, str]] = set()
    clock_us = 0
    for one in log:
        clock_us = max(clock_us, one.clock_us)
        if one.number <= newest.get(one.committer, 0):
            continue
        newest[one.committer] = one.number
        for item in one.events:
            if isinstance(item, Poison):
                continue
            name = (namespace_of(item.entity_id or ""), item.event_id)
            if item.named_by_client and name in names:
                continue
            if item.named_by_client:
                names.add(name)
            if item.entity_id is None or not item.properties:
                continue
            if item.properties.get("__deleted__") is True:
                entities.pop(item.entity_id, None)
            else:
                before = entities.get(item.entity_id, ({}, 0))[0]
                entities[item.entity_id] = (before | item.properties, clock_us)
    return entities


@given(plain_logs)
@many
def test_fold_is_what_the_contract_says_event_by_event(log: list[Block]) -> None:
    state = folded(*log)
    living = {a.entity_id: (a.properties, a.updated_us) for a in state.living(state.entities)}
    assert living == model(log)


@given(logs, st.sets(st.integers(1, 8)))
@many
def test_fold_does_not_depend_on_how_the_log_was_cut_into_pulls(log: list[Block], cuts: set[int]) -> None:
    at_once, in_pulls = PartitionState(0), PartitionState(0)
    applied = at_once.apply(numbered(log))
    edges = [0, *sorted(cut for cut in cuts if cut < len(log)), len(log)]
    changes: list[Step] = []
    poison: list[SetAside] = []
    for start, end in pairwise(edges):
        part = in_pulls.apply(numbered(log[start:end], start + 1))
        changes += part.changes
        poison += part.poison
    assert whole(in_pulls) == whole(at_once)
    assert (changes, poison) == (applied.changes, applied.poison)
    assert [render(a.reading()) for a in in_pulls.living(sorted(in_pulls.entities))] == [
        render(a.reading()) for a in at_once.living(sorted(at_once.entities))
    ]


@given(logs, st.integers(0, 2))
@few
def test_short_histories_do_not_depend_on_how_the_log_was_cut_either(log: list[Block], history: int) -> None:
    at_once, one_by_one = PartitionState(0), PartitionState(0)
    at_once.history_positions = one_by_one.history_positions = history
    at_once.apply(numbered(log))
    for sequence, one in numbered(log):
        one_by_one.apply([(sequence, one)])
    assert whole(one_by_one) == whole(at_once)


@given(logs)
@few
def test_without_a_feed_the_state_is_the_same_and_nothing_is_told(log: list[Block]) -> None:
    state = PartitionState(0)
    applied = state.apply(numbered(log), feed=False)
    assert (applied.changes, applied.sources) == ([], [])
    assert whole(state) == whole(folded(*log))


@given(logs)
@few
def test_fold_of_the_stored_bytes_is_the_fold_of_the_blocks(log: list[Block]) -> None:
    readable = [
        b._replace(events=[e for e in b.events if isinstance(e, Event)] or [event(None, None)]) for b in log
    ]
    stored = [
        encode_block(
            b.committer, b.number, b.clock_us, [encode_event(e) for e in b.events], termed=b.has_terms
        )
        for b in readable
    ]
    assert whole(folded(*map(decode_block, stored))) == whole(folded(*readable))
    assert whole(folded(*map(decode_block_heads, stored))) == whole(folded(*readable))


@given(logs)
@few
def test_changes_tell_everything_in_log_order(log: list[Block]) -> None:
    state = PartitionState(0)
    changes = changes_of(state, log)
    positions = [change.position for change in changes]
    assert positions == sorted(set(positions))
    copy: dict[str, dict[str, Any]] = {}
    for change in changes:
        if change.properties is None:
            del copy[change.entity_id]
        else:
            copy[change.entity_id] = copy.get(change.entity_id, {}) | change.properties
    assert copy == properties_of(state)


@given(logs)
@few
def test_last_updated_never_runs_backwards(log: list[Block]) -> None:
    state = PartitionState(0)
    newest: dict[str, int] = {}
    for change in changes_of(state, log):
        assert change.clock_us >= newest.get(change.entity_id, 0)
        newest[change.entity_id] = change.clock_us
    assert state.clock_us == max([b.clock_us for b in log], default=0)


@given(logs)
@few
def test_totals_are_true(log: list[Block]) -> None:
    state = folded(*log)
    living = list(properties_of(state))
    assert state.alive == len(living)
    counts = {name: totals.entities for name, totals in state.namespaces.items() if totals.entities}
    assert counts == {ns: sum(namespace_of(i) == ns for i in living) for ns in map(namespace_of, living)}
    assert state.sequence == len(log)


def test_events_of_one_entity_merge_and_null_is_a_value() -> None:
    state = folded(
        block(event("a/1", {"n": 1, "deep": {"x": 1}}), event("a/1", {"n": None, "deep": {"y": 2}}))
    )
    assert properties_of(state) == {"a/1": {"n": None, "deep": {"y": 2}}}


def test_deleted_entity_is_gone_and_comes_back_without_its_past() -> None:
    deletion = event("a/1", {"__deleted__": True})
    assert properties_of(folded(block(event("a/1", {"n": 1}), deletion))) == {}
    assert properties_of(folded(block(event("a/1", {"n": 1}), deletion, event("a/1", {"m": 2})))) == {
        "a/1": {"m": 2}
    }


def test_deletion_of_an_absent_entity_changes_nothing() -> None:
    state = PartitionState(0)
    assert state.apply([(1, block(event("a/1", {"__deleted__": True})))]).changes == []
    assert state.alive == 0


def test_event_without_entity_or_properties_is_counted_and_changes_nothing() -> None:
    state = PartitionState(0)
    applied = state.apply([(1, block(event(None, {"n": 1}), event("a/1", None), event("a/2", {})))])
    assert applied.changes == []
    assert (state.events_total, properties_of(state)) == (3, {})


def test_block_that_does_not_follow_is_corrupt_and_applies_nothing() -> None:
    for wrong in (1, 3, 0, 99):
        state = folded(block(event("a/1", {"n": 1})))
        before = whole(state)
        with pytest.raises(Corrupt, match=f"block {wrong} came after 1"):
            state.apply([(wrong, block(event("a/1", {"n": 2}), number=2))])
        assert whole(state) == before


def test_gap_within_a_pull_is_corrupt_and_the_state_is_that_of_the_blocks_before_it() -> None:
    first, second, fourth = (block(event("a/1", {"n": n}), number=n) for n in (1, 2, 4))
    state = PartitionState(0)
    with pytest.raises(Corrupt, match="block 4 came after 2"):
        state.apply([(1, first), (2, second), (4, fourth)])
    assert whole(state) == whole(folded(first, second))


def test_block_that_a_committer_sent_before_is_skipped_whole() -> None:
    first, second = block(event("a/1", {"n": 1})), block(event("a/1", {"n": 2}), number=2)
    state = folded(first, second, first, second)
    assert (properties_of(state), state.sequence, state.events_total) == ({"a/1": {"n": 2}}, 4, 2)


def test_late_copy_of_a_failed_block_is_skipped_behind_its_successor() -> None:
    late = block(event("a/1", {"late": True}), number=1)
    state = folded(block(event("a/1", {"n": 2}), number=2), late)
    assert properties_of(state) == {"a/1": {"n": 2}}


def test_blocks_of_other_committers_are_not_mistaken_for_repeats() -> None:
    state = folded(
        block(event("a/1", {"n": 1}), number=5), block(event("a/1", {"m": 2}), committer=2, number=1)
    )
    assert properties_of(state) == {"a/1": {"n": 1, "m": 2}}


def test_committers_that_are_remembered_stay_bounded_and_the_busy_one_stays() -> None:
    state = PartitionState(0)
    log = [block(number=1, committer=7)]
    for committer in range(100, 10_200):
        log += [block(number=1, committer=committer)]
        if committer % 1_000 == 0:
            log += [block(number=len(log) + 1, committer=7)]
    state.apply(numbered(log))
    assert len(state.committers) == 10_000
    assert 7 in state.committers
    assert 100 not in state.committers


def test_event_that_a_client_named_counts_once_and_the_first_wins() -> None:
    state = folded(
        block(event("a/1", {"n": 1}, "id"), event("a/1", {"n": 2}, "id")),
        block(event("a/2", {"n": 3}, "id"), number=2),
    )
    assert properties_of(state) == {"a/1": {"n": 1}}
    assert state.events_total == 1


def test_same_name_in_another_namespace_is_another_event() -> None:
    state = folded(
        block(event("a/1", {"n": 1}, "id"), event("b/1", {"n": 2}, "id"), event("plain", {"n": 3}, "id"))
    )
    assert set(properties_of(state)) == {"a/1", "b/1", "plain"}


def test_names_that_the_server_made_are_not_remembered() -> None:
    state = folded(block(event("a/1", {"n": 1}), event("a/1", {"n": 2})))
    assert properties_of(state) == {"a/1": {"n": 2}}
    assert state.window.younger.ids == []


def test_retry_behind_a_deletion_does_not_bring_the_entity_back() -> None:
    published = event("a/1", {"n": 1}, "id")
    state = folded(block(published), block(event("a/1", {"__deleted__": True}), published, number=2))
    assert properties_of(state) == {}


def test_poison_is_set_aside_with_its_position_and_its_neighbours_apply() -> None:
    state = PartitionState(0)
    applied = state.apply([(1, block(event("a/1", {"n": 1}), Poison("bad"), event("a/1", {"m": 2})))])
    assert applied.poison == state.poison == [SetAside(pack(1, 1), "bad")]
    assert properties_of(state) == {"a/1": {"n": 1, "m": 2}}
    assert [unpack(Change(*step).packed) for step in applied.changes] == [(1, 0), (1, 2)]
    assert state.events_total == 2


def test_poison_is_reported_once_and_kept_bounded() -> None:
    state = PartitionState(0)
    for sequence in range(1, 30):
        applied = state.apply([(sequence, block(*[Poison("bad")] * 7, number=sequence))])
        assert len(applied.poison) == 7
    assert len(state.poison) == limits.poison_kept_max
    assert state.poison[-1] == SetAside(pack(29, 6), "bad")


def test_unreadable_block_is_set_aside_and_the_log_goes_on_behind_it() -> None:
    state = folded(block(event("a/1", {"n": 1}), clock_us=9))
    applied = state.apply([(2, Unreadable("damaged")), (3, block(event("a/1", {"n": 2}), number=2))])
    assert applied.poison == [SetAside(pack(2, 0), "damaged")]
    assert state.poison == [SetAside(pack(2, 0), "damaged")]
    assert (properties_of(state), state.clock_us) == ({"a/1": {"n": 2}}, 9)
    with pytest.raises(Corrupt):
        state.apply([(5, Unreadable("gap"))])


def test_sources_of_a_pull_are_told_once_each_and_sorted() -> None:
    events = [Event("a/1", {"n": 1}, "i", False, source, "t", 1) for source in ("z", "b", "z")]
    assert PartitionState(0).apply([(1, block(*events))]).sources == ["b", "z"]


def test_witness_sees_each_known_actor_before_it_changes() -> None:
    seen: list[tuple[str, dict[str, Any] | None]] = []

    class Notes:
        def before_change(self, actor: EntityActor) -> None:
            seen.append((actor.entity_id, dict(actor.properties or {})))

    state = folded(block(event("a/1", {"n": 1})))
    state.witness, state.cut_number = Notes(), 1
    changing = block(event("a/1", {"n": 2}), event("a/2", {"n": 3}), event("a/1", {"n": 4}), number=2)
    state.apply([(2, changing)])
    assert seen == [("a/1", {"n": 1})]


def test_actor_that_was_adopted_counts_if_it_lives() -> None:
    original = folded(
        block(event("a/1", {"n": 1}), event("a/2", {"n": 1}), event("a/2", {"__deleted__": True}))
    )
    state = PartitionState(0)
    for actor in original.entities.values():
        state.adopt(EntityActor.from_row(actor.row(), 0))
    assert (state.alive, state.namespaces["a"].entities) == (1, 1)
    assert [actor.entity_id for actor in state.living(["a/2", "a/1", "none"])] == ["a/1"]
