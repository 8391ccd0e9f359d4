"""Recutting: the copy says what the log says, whatever was decided in it, and says it in the same order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.acting.catalogue import Deployed
from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.dedupe import DedupeWindow
from flux_actors.domain.event import Event, terms_in, with_terms
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import pack
from flux_actors.domain.terms import ACQUIRE, RENEW, START, STOP, Claim, Order, Terms
from flux_actors.log.block import CONTROL, Block, decode_block, encode_block, encode_event, has_control
from flux_actors.log.ports import StoredBlock
from flux_actors.repartition.comparing import compare_entities, compare_totals, facts_of, surplus
from flux_actors.repartition.recutting import Disagreeing, Disordered, closing_block
from tests.unit.domain.acting.small_acting import ECHO, catalogue, note, version
from tests.unit.domain.small_log import event
from tests.unit.domain.strategies import many, termed_logs, whole
from tests.unit.repartition.cutting import AFTER, BEFORE, ORIGIN, folded, recut, recutter, split

SPREADS = st.frozensets(st.sampled_from(["a", "b", ""]))
RULES = st.builds(Partitioning, st.integers(1, 4), SPREADS)
REACTING = catalogue(Deployed("Echo", version(ECHO, "*")))


def stored(sequence: int, *events: Event, number: int | None = None, clock_us: int = 0) -> StoredBlock:
    termed = any(terms_in(one) is not None for one in events)
    control = any((terms := terms_in(one)) is not None and terms.control is not None for one in events)
    encoded = [encode_event(one) for one in events]
    flags = CONTROL if control else 0
    data = encode_block(5, number or sequence, clock_us, encoded, termed=termed, flags=flags)
    return StoredBlock(sequence, data, 0)


def events_of(made: list[list[bytes]]) -> list[Event]:
    return [one for blocks in made for data in blocks for one in decode_block(data).events]


@many
@given(termed_logs, RULES, RULES)
def test_the_copy_says_what_the_log_says(blocks, before, after):
    log, cutter = split(blocks, before), recutter(before, after)
    made = recut(cutter, log)
    compare_entities(cutter)
    compare_totals(cutter)
    # Folded again from its bytes alone, it is what it was compared as.
    refolded = [folded(partition, data) for partition, data in enumerate(made)]
    assert [whole(state) for state, _ in refolded] == [whole(state) for state in cutter.copy]
    # Every entity had the same changes at the same times in the same order, and none of them twice.
    there = [folded(partition, [one.data for one in data], 0)[1] for partition, data in enumerate(log)]
    assert _together(told for _, told in refolded) == _together(there)


def _together(tellings):
    found = {}
    for told in tellings:
        assert not found.keys() & told.keys()
        found |= told
    return found


@many
@given(termed_logs, st.integers(1, 4))
def test_a_copy_of_a_copy_still_does(blocks, partitions):
    log, first, second = split(blocks, BEFORE), recutter(), recutter(AFTER, Partitioning(partitions))
    again = [
        [StoredBlock(sequence, data, 0) for sequence, data in enumerate(data, 1)]
        for data in recut(first, log)
    ]
    recut(second, again)
    compare_totals(second)
    ids = {entity_id for state in first.log for entity_id in state.entities}
    for entity_id in ids:
        there = first.log[BEFORE.of_entity(entity_id)].find(entity_id)
        here = second.copy[second.after.of_entity(entity_id)].find(entity_id)
        assert facts_of(here) == facts_of(there)


def test_what_was_refused_or_came_before_has_no_place_in_it():
    cutter = recutter(Partitioning(1), AFTER)
    log = [
        stored(1, event({"v": 1}, name="one"), event({"v": 2}, name="one"), clock_us=10),
        stored(2, event({"v": 3}, Terms(condition=(0, pack(1, 1)))), clock_us=20),
        stored(3, event({"v": 4}, Terms(condition=(0, pack(1, 0)))), clock_us=30),
        stored(4, event({"v": 5}), number=3, clock_us=40),
    ]
    (kept, met) = events_of(recut(cutter, [log]))
    assert (kept.properties, met.properties) == ({"v": 1}, {"v": 4})
    assert terms_in(met) is None


def test_an_atomic_batch_of_a_namespace_that_is_spread_now_is_carried_over_as_decided():
    cutter = recutter(Partitioning(1), Partitioning(64, frozenset({"a"})))
    together = [event({"v": n}, Terms(together=3 if n == 0 else 0), key=f"a/{n}") for n in range(3)]
    refused = [
        event({"v": 9}, Terms(together=2), key="a/0"),
        event({"v": 9}, Terms(condition=(0, 1)), key="a/1"),
    ]
    made = recut(cutter, [[stored(1, *together), stored(2, *refused)]])
    assert sorted(one.entity_id for one in events_of(made)) == ["a/0", "a/1", "a/2"]
    assert sum(map(bool, made)) > 1
    compare_entities(cutter)


def test_the_token_of_a_claim_is_the_one_that_its_holder_knows():
    cutter = recutter(Partitioning(1), AFTER)
    token = pack(1, 0)
    log = [
        stored(1, event({}, Terms(claim=Claim(ACQUIRE, "me", 1_000)))),
        stored(2, event({}, Terms(claim=Claim(RENEW, "me", 2_000, token)))),
    ]
    recut(cutter, [log])
    (copied,) = [state.find("a/1") for state in cutter.copy if state.find("a/1")]
    assert copied.properties["claim"]["token"] == token
    assert copied.position > pack(ORIGIN, 0)
    compare_entities(cutter)


def test_blocks_that_come_later_than_their_clock_says_end_it():
    cutter = recutter(BEFORE, Partitioning(1))
    early, late = stored(1, event({"v": 1}), clock_us=50), stored(1, event({"v": 2}, key="b/1"), clock_us=40)
    cutter.recut(BEFORE.of_entity("a/1"), early)
    other = 1 - BEFORE.of_entity("a/1")
    with pytest.raises(Disordered):
        cutter.recut(other, late)


def test_an_id_that_the_log_had_forgotten_and_the_copy_remembers_is_taken_again():
    cutter = recutter(Partitioning(1), AFTER)
    cutter.recut(0, stored(1, event({"v": 1}, name="once")))
    cutter.log[0].window = DedupeWindow()
    (made,) = cutter.recut(0, stored(2, event({"v": 2}, name="once"))).values()
    assert not decode_block(made).events[0].named_by_client
    compare_entities(cutter)


def test_a_retry_finds_the_id_of_the_first_try_in_the_copy():
    cutter = recutter(Partitioning(1), AFTER)
    cutter.recut(0, stored(1, event({"v": 1}, name="once")))
    target = AFTER.of_entity("a/1")
    block = Block(9, 1, 0, [event({"v": 2}, name="once")])
    assert cutter.copy[target].apply([(ORIGIN + 1, block)]).left_out


def test_what_nobody_can_read_is_left_behind_and_counted():
    cutter = recutter(Partitioning(1), AFTER)
    broken = encode_block(5, 2, 0, [encode_event(event({"v": 1})), b"\x91\xc0"])
    log = [StoredBlock(1, b"no block", 0), StoredBlock(2, broken, 0)]
    assert len(events_of(recut(cutter, [log]))) == 1
    assert cutter.set_aside == 2


def test_the_block_that_closes_a_log_says_nothing():
    cutter = recutter(Partitioning(1), AFTER)
    assert cutter.recut(0, StoredBlock(1, closing_block(3, 10), 0)) == {}
    assert cutter.log[0].events_total == 0


class TestBehaviours:
    """What entities with behaviours have under way goes on in the copy, under its names there."""

    def test_a_catalogue_goes_once_into_every_partition(self):
        cutter = recutter()
        log = [[stored(1, note(Terms(control=REACTING)), clock_us=10 * p)] for p in BEFORE.all()]
        made = recut(cutter, log)
        assert [len(blocks) for blocks in made] == [1] * AFTER.partitions
        assert all(has_control(blocks[0]) for blocks in made)
        compare_totals(cutter)

    def test_messages_that_wait_wait_and_those_that_are_done_are(self):
        cutter = recutter(Partitioning(1), AFTER)
        log = [
            stored(1, note(Terms(control=REACTING))),
            stored(2, event({"v": 1}), event({"v": 2}, key="b/1")),
            stored(3, note(Terms(handled=[pack(2, 0)]))),
        ]
        recut(cutter, [log])
        waiting = [m for state in cutter.copy for m in state.acting.outbox.messages.values()]
        assert [(m.entity_id, m.properties) for m in waiting] == [("b/1", {"v": 2})]
        assert waiting[0].position > pack(ORIGIN, 0)
        compare_totals(cutter)
        assert surplus(cutter) == {}

    def test_an_effect_that_is_published_again_after_the_switch_counts_once(self):
        cutter = recutter(Partitioning(1), AFTER)
        cause = Cause(0, "b/1", pack(2, 0), 0, 0)
        effect = event({"v": 9}, Terms(cause=cause))
        recut(
            cutter,
            [
                [
                    stored(1, note(Terms(control=REACTING))),
                    stored(2, event({"v": 2}, key="b/1")),
                    stored(3, effect),
                    stored(4, effect),
                ]
            ],
        )
        compare_totals(cutter)
        home, target = AFTER.of_entity("b/1"), AFTER.of_entity("a/1")
        messages = cutter.copy[home].acting.outbox.messages.values()
        (message,) = [one for one in messages if one.entity_id == "b/1"]
        causes = cutter.copy[target].acting.causes
        assert not causes.admit(Cause(home, "b/1", message.position, 0, 0))
        assert causes.admit(Cause(home, "b/1", message.position, 1, 0))

    def test_an_effect_before_its_message_keeps_the_switch_from_being_made(self):
        cutter = recutter(Partitioning(1), AFTER)
        effect = event({"v": 9}, Terms(cause=Cause(0, "b/1", pack(3, 0), 0, 0)))
        log = [
            stored(1, note(Terms(control=REACTING))),
            stored(2, effect),
            stored(3, event({"v": 2}, key="b/1")),
        ]
        recut(cutter, [log])
        with pytest.raises(Exception, match="had effects before"):
            compare_totals(cutter)

    def test_a_behaviour_that_is_stopped_is_stopped(self):
        cutter = recutter(Partitioning(1), AFTER)
        log = [
            stored(1, note(Terms(control=REACTING))),
            stored(2, event({"v": 1}), event({"v": 1}, key="b/1")),
            stored(3, note(Terms(order=Order(STOP, "a/1", "broken", pack(2, 0))))),
            stored(4, note(Terms(order=Order(STOP, "b/1", "broken")))),
            stored(5, note(Terms(order=Order(START, "b/1")))),
        ]
        recut(cutter, [log])
        assert [state.acting.stopped for state in cutter.copy if state.acting.stopped] == [{"a/1": "broken"}]
        compare_totals(cutter)

    def test_a_message_that_the_log_has_not_is_taken_out_again(self):
        cutter = recutter(Partitioning(1), Partitioning(2))
        recut(cutter, [[stored(1, note(Terms(control=REACTING))), stored(2, event({"v": 1}))]])
        cutter.log[0].acting.outbox.remove([pack(2, 0)])
        ((target, terms),) = surplus(cutter).items()
        cutter.note(target, terms, 0)
        assert not any(len(state.acting.outbox) for state in cutter.copy)

    def test_a_message_that_the_copy_has_not_is_not_lost(self):
        cutter = recutter(Partitioning(1), Partitioning(2))
        recut(cutter, [[stored(1, note(Terms(control=REACTING))), stored(2, event({"v": 1}))]])
        for state in cutter.copy:
            state.acting.outbox.remove(list(state.acting.outbox.messages))
        with pytest.raises(Disagreeing, match="missing"):
            compare_totals(cutter)


def test_an_event_with_terms_that_say_nothing_keeps_them():
    cutter = recutter(Partitioning(1), AFTER)
    (kept,) = events_of(recut(cutter, [[stored(1, with_terms(event({"v": 1}), Terms()))]]))
    assert terms_in(kept) == Terms()


def test_what_differs_is_named():
    cutter = recutter(Partitioning(1), AFTER)
    recut(cutter, [[stored(1, event({"v": 1}))]])
    cutter.log[0].entities["a/1"].properties = {"v": 2}
    with pytest.raises(Disagreeing, match="such as a/1"):
        compare_entities(cutter)
    cutter.log[0].events_total += 1
    with pytest.raises(Disagreeing, match="events of the copy differ"):
        compare_totals(cutter)
