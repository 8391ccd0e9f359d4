"""Two states have the same digest when they are the same, and else it tells where they differ."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.acting.acting import ActingFault
from flux_actors.domain.acting.catalogue import Catalogue
from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.acting.messages import Message, MessageKind
from flux_actors.domain.entity import EntityActor, EntityRow
from flux_actors.domain.fold import PartitionState, SetAside
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.digest import Digest, DigestWriter, bucket_of, decode_digest, encode_digest
from tests.unit.domain.strategies import few, logs, numbered, whole


def digest(state: PartitionState, suspended: Any = (), wanted: Any = ()) -> Digest:
    cut = Cut(state, "log", partial(DigestWriter, suspended=suspended, wanted=wanted))
    return decode_digest(b"".join(iter(cut.next_slice, None)))


def folded(log: list[Any]) -> PartitionState:
    state = PartitionState(0)
    state.apply(numbered(log), feed=False)
    return state


def copied(state: PartitionState) -> PartitionState:
    """Return a state that went through a snapshot."""
    cut = Cut(state, "log")
    return read_snapshot([b"".join(iter(cut.next_slice, None))])[1]


def of(*ids: str) -> PartitionState:
    state = PartitionState(0)
    state.adopt_rows([EntityRow(entity_id, {"v": 1}, number, 5) for number, entity_id in enumerate(ids)])
    return state


@given(logs, logs)
@few
def test_digests_are_equal_where_states_are(one: list[Any], two: list[Any]) -> None:
    ours, theirs = folded(one), folded(two)
    assert (digest(ours) == digest(theirs)) == (whole(ours) == whole(theirs))
    assert digest(copied(ours)) == digest(ours)


@given(st.lists(st.text(max_size=5), max_size=20, unique=True), st.randoms())
@few
def test_order_of_entities_does_not_count(ids: list[str], random: Any) -> None:
    rows = [EntityRow(entity_id, {"v": 1, "w": 2}, number, 5) for number, entity_id in enumerate(ids)]
    ours, theirs = PartitionState(0), PartitionState(0)
    ours.adopt_rows(rows)
    random.shuffle(rows)
    theirs.adopt_rows([EntityRow(row.entity_id, {"w": 2, "v": 1}, row.position, 5) for row in rows])
    assert digest(ours) == digest(theirs)
    assert digest(ours).entities == len(ids)


def test_order_does_not_count_within_a_bucket_either() -> None:
    names = [f"e/{number}" for number in range(50_000)]
    together = [name for name in names if bucket_of(name) == bucket_of(names[0])][:4]
    assert len(together) == 4
    rows = [EntityRow(name, {"v": 1}, 7, 5) for name in together]
    ours, theirs = PartitionState(0), PartitionState(0)
    ours.adopt_rows(rows)
    theirs.adopt_rows(rows[::-1])
    assert digest(ours).buckets == digest(theirs).buckets
    assert digest(ours).with_history == digest(theirs).with_history


def test_order_in_which_causes_were_learnt_does_not_count() -> None:
    causes = [Cause(0, "a", 7, 0, 0), Cause(0, "b", 8, 0, 0), Cause(1, "a", 9, 0, 0)]
    ours, theirs = of("a"), of("a")
    for state, learnt in ((ours, causes), (theirs, causes[::-1])):
        state.acting.catalogue = Catalogue(1)
        assert all(state.acting.causes.admit(cause) for cause in learnt)
    assert digest(ours) == digest(theirs)


CHANGES = {
    "clock": lambda state: setattr(state, "clock_us", 9),
    "events": lambda state: setattr(state, "events_total", 9),
    "committers": lambda state: state.committers.update({1: 2}),
    "events set aside": lambda state: state.poison.append(SetAside(1, "why")),
    "age of the ids": lambda state: setattr(state.window.elder, "start_us", 9),
    "ids": lambda state: state.window.younger.ids.append("id"),
    "behaviours": lambda state: setattr(state.acting, "catalogue", Catalogue(3)),
    "causes": lambda state: state.acting.causes.admit(Cause(0, "a", 7, 0, 0)),
    "stopped entities": lambda state: state.acting.stopped.update({"a": "why"}),
    "messages": lambda state: state.acting.outbox.add(Message(1, "a", MessageKind.CHANGE, 1, {})),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_differs_beside_entities_is_told_by_name(name: str) -> None:
    ours, theirs = of("a"), of("a")
    for state in (ours, theirs):
        state.acting.catalogue = Catalogue(2)
    CHANGES[name](theirs)
    found, other = digest(ours), digest(theirs)
    assert [key for key in found.rest if found.rest[key] != other.rest[key]] == [name]
    assert not found.differing(other, history=True)


@pytest.mark.parametrize(
    "row",
    [
        EntityRow("b", {"v": 2}, 1, 5),
        EntityRow("b", {"v": 1.0}, 1, 5),
        EntityRow("b", {"v": 1, "w": None}, 1, 5),
        EntityRow("b", None, 1, 5),
        EntityRow("b", {"v": 1}, 2, 5),
        EntityRow("b", {"v": 1}, 1, 6),
    ],
)
def test_entity_that_differs_is_in_its_bucket_and_told_there(row: EntityRow) -> None:
    ours, theirs = of("a", "b", "c"), of("a", "b", "c")
    theirs.entities["b"] = EntityActor.from_row(row, 0)
    theirs.roster[1] = theirs.entities["b"]
    for history in (False, True):
        assert digest(ours).differing(digest(theirs), history=history) == [bucket_of("b")]
    wanted = [bucket_of("b")]
    found, other = digest(ours, wanted=wanted).rows, digest(theirs, wanted=wanted).rows
    assert [one[0] for one in found] == [one[0] for one in other] == ["b"]
    assert found != other


def test_history_counts_only_where_it_is_asked_for() -> None:
    ours, theirs = of("a"), of("a")
    theirs.entities["a"]._remember([(3, "a", {"v": 1}, 5)], 500)  # noqa: SLF001 - as an older event would
    found, other = digest(ours), digest(theirs)
    assert found.differing(other, history=False) == []
    assert found.differing(other, history=True) == [bucket_of("a")]


def test_entities_that_wait_for_an_order_are_left_out() -> None:
    ours, theirs = of("a", "b"), of("a", "b")
    theirs.entities["b"].properties = {"v": 2}
    theirs.acting.catalogue = ours.acting.catalogue = Catalogue(1)
    theirs.acting.suspended["b"] = ActingFault("b", 1, "kind", "text")
    theirs.acting.outbox.add(Message(1, "b", MessageKind.CHANGE, 1, {}))
    other = digest(theirs)
    assert other.suspended == ["b"]
    assert digest(ours, suspended=other.suspended) == other
    assert digest(ours) != other


def test_digest_of_digests_is_read_as_it_was_written() -> None:
    found = digest(of("a", "b"), wanted=[bucket_of("a")])
    assert decode_digest(encode_digest(found)) == found
