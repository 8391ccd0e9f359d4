"""Snapshots of partitions whose entities act: whatever waits, was stopped, or came before is in them."""

from __future__ import annotations

import struct
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.acting.catalogue import Deployed, Supervision
from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.event import DELETED, Event, with_terms
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.position import pack
from flux_actors.domain.terms import START, STOP, Order, Terms
from flux_actors.errors import Corrupt
from flux_actors.log.block import Block
from flux_actors.snapshot.codec import MAGIC, read_snapshot
from flux_actors.snapshot.cut import Cut
from tests.unit.domain.acting.small_acting import (
    COUNTING,
    ECHO,
    REACTING,
    REDUCING,
    ActingLog,
    Functions,
    catalogue,
    note,
    version,
)
from tests.unit.domain.small_log import MS, event
from tests.unit.domain.strategies import many, numbered, whole
from tests.unit.snapshot.test_codec import sealed

ALL = ["on_change", "on_reminder", "on_tell"]
CATALOGUES = [
    REDUCING,
    catalogue(
        Deployed("Counting", version(COUNTING, "a/*", ["reduce", "on_change"])),
        Deployed("Echo", version(ECHO, "b/*", ALL)),
        revision=2,
    ),
    catalogue(
        Deployed("Counting", version(COUNTING, "b/*", ["reduce"], supervision=Supervision("stop"))),
        Deployed("Echo", version(ECHO, "a/*", ALL), stopped=True),
        revision=3,
    ),
    catalogue(revision=4),
]
ids = st.sampled_from(["a/1", "a/2", "b/1", "c/1"])
places = st.builds(pack, st.integers(1, 6), st.integers(0, 2))
values = st.fixed_dictionaries({"n": st.sampled_from([1, 1, 2, "bad", "forever"])})
updates = values | values | st.just({}) | st.just({DELETED: True})
causes = st.builds(
    Cause, st.integers(0, 1), ids, places, st.integers(0, 1), st.sampled_from([0, 0, pack(2, 0), pack(4, 0)])
)
names = st.sampled_from(["check", "again"])
terms = st.one_of(
    st.builds(Terms, cause=causes),
    st.builds(Terms, cause=causes, told=st.just({"do": 1})),
    st.builds(Terms, remind=st.dictionaries(names, st.integers(0, 2), min_size=1, max_size=2)),
    st.builds(Terms, expires_us=st.sampled_from([1 * MS, 2 * MS, 3 * MS]), reminder=names),
)
notes = st.one_of(
    st.sampled_from(CATALOGUES).map(lambda one: Terms(control=one)),
    st.lists(places, min_size=1, max_size=3).map(lambda positions: Terms(handled=positions)),
    st.builds(Order, st.just(START), ids).map(lambda order: Terms(order=order)),
    st.builds(Order, st.just(STOP), ids, st.just("why"), places).map(lambda order: Terms(order=order)),
    st.builds(
        Order,
        *(st.just(STOP), ids, st.just("why"), places),
        st.none() | st.just({"sum": 3}),
        sets_state=st.just(True),
    ).map(lambda order: Terms(order=order)),
).map(note)
plain_events = st.builds(lambda key, update: event(update, key=key), ids, updates)
termed_events = st.builds(with_terms, plain_events, terms)
batches = st.lists(plain_events | plain_events | termed_events | notes, min_size=1, max_size=4)


@st.composite
def acting_logs(draw: st.DrawFn) -> list[Block]:
    """Return a log that begins with a catalogue."""
    first: list[Event] = [note(Terms(control=CATALOGUES[draw(st.integers(0, 2))]))]
    found = [first, *draw(st.lists(batches, max_size=8))]
    return [Block(1, n, n * MS, list(batch), True) for n, batch in enumerate(found, 1)]


def empty() -> PartitionState:
    state = PartitionState(0)
    state.acting.reducers = Functions()
    return state


def folded(log: list[Block]) -> PartitionState:
    state = empty()
    state.apply(numbered(log))
    return state


def rest_of(cut: Cut) -> list[bytes]:
    return list(iter(cut.next_slice, None))


def recovered(parts: list[bytes]) -> PartitionState:
    return read_snapshot(parts, empty())[1]


@given(acting_logs(), st.data())
@many
def test_cut_has_what_waited_at_its_moment_whatever_comes_and_goes(
    log: list[Block], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(log)))
    state = folded(log[:at])
    expected = deepcopy(whole(state))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "snapshot_slice_entities", 1)
        cut = Cut(state, "log")
        parts: list[bytes] = []
        for sequence, one in numbered(log[at:], at + 1):
            parts += [part for _ in range(data.draw(st.integers(0, 3))) if (part := cut.next_slice())]
            state.apply([(sequence, one)])
        parts += rest_of(cut)
    assert whole(recovered(parts)) == expected
    assert whole(state) == whole(folded(log))


@given(acting_logs(), st.integers(0, 8))
@many
def test_snapshot_and_the_log_behind_it_act_as_the_whole_log_does(log: list[Block], at: int) -> None:
    state = recovered(rest_of(Cut(folded(log[:at]), "log")))
    state.apply(numbered(log[at:], len(log[:at]) + 1))
    assert whole(state) == whole(folded(log))


def test_everything_that_a_partition_knows_of_behaviours_is_in_its_snapshot() -> None:
    log = ActingLog(CATALOGUES[1])
    log.put(event({"n": 1}), event({"n": "forever"}, key="a/2"), event({"v": 1}, key="b/1"))
    log.put(event({"v": 2}, Terms(cause=Cause(1, "x/1", pack(3, 0), 0, 0)), key="b/1"))
    log.put(event({}, Terms(remind={"check": 60_000}), key="b/1"))
    log.put(note(Terms(order=Order(STOP, "a/1", "raised"))))
    again = recovered(rest_of(Cut(log.state, "log")))
    acting = again.acting
    assert acting.catalogue == CATALOGUES[1]
    assert list(acting.outbox.messages) == log.waiting == [pack(2, 2), pack(3, 0)]
    assert acting.outbox.waiting("b/1") == 2
    assert (acting.stopped, set(acting.suspended)) == ({"a/1": "raised"}, {"a/2"})
    assert not acting.causes.admit(Cause(1, "x/1", pack(3, 0), 0, 0))
    assert acting.causes.admit(Cause(1, "x/1", pack(3, 0), 1, 0))
    assert again.timers.next_us == log.state.timers.next_us


def test_entity_that_waits_for_an_order_waits_for_it_behind_a_snapshot_too() -> None:
    log = ActingLog(REDUCING)
    log.put(event({"n": 1}), event({"n": "forever"}))
    again = recovered(rest_of(Cut(log.state, "log")))
    again.apply([(3, Block(1, 3, 0, [event({"n": 5})], False))])
    actor = again.find("a/1")
    assert actor is not None
    assert actor.properties == {"events": 1, "sum": 1}


OLD_HEADER: list[Any] = ["log", 0, 7, 11, 1, [[1, 5]], [], 1, 2]
ROW: list[Any] = ["a/1", {"n": 1}, 4_096, 5, b""]


@pytest.mark.parametrize("number", [1, 2])
def test_snapshot_of_a_version_that_knew_no_behaviours_is_a_state_without_them(number: int) -> None:
    prefix = MAGIC + struct.pack(">H", number)
    header, state = read_snapshot([sealed(OLD_HEADER, ["rows", [ROW]], ["end", 1, 0], prefix=prefix)])
    assert header.behaviours is None
    assert (state.sequence, state.known) == (7, 1)
    assert not state.acting.binds
    assert not state.acting.outbox
    state.acting.take(REACTING)
    state.apply([(8, Block(1, 8, 0, [event({"n": 2})], False))])
    assert len(state.acting.outbox) == 1


def test_snapshot_that_lacks_a_message_is_corrupt() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}))
    message = msgspec.to_builtins(next(iter(log.state.acting.outbox.messages.values())))
    header = [*OLD_HEADER, [msgspec.to_builtins(REACTING), [], {}]]
    assert (
        len(read_snapshot([sealed(header, ["messages", [message]], ["end", 0, 0, 1])])[1].acting.outbox) == 1
    )
    for frames in ([["end", 0, 0, 1]], [["messages", [message]], ["end", 0, 0]]):
        with pytest.raises(Corrupt):
            read_snapshot([sealed(header, *frames)])
