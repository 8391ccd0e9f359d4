from __future__ import annotations

import msgspec
from hypothesis import given

from flux_actors.domain.event import DELETED
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.leases import Lease, Leases, Timers
from flux_actors.domain.position import pack
from flux_actors.domain.terms import Terms
from flux_actors.log.block import Block
from tests.unit.domain.small_log import MS, Log, ended, event, leases_of
from tests.unit.domain.strategies import many, numbered, termed_logs


@given(termed_logs)
@many
def test_no_lease_is_without_a_timer_that_is_early_enough(log: list[Block]) -> None:
    state = PartitionState(0)
    state.apply(numbered(log))
    watched = state.timers.due(1 << 62, 1 << 20)
    assert {Lease(key, name) for key, ends in leases_of(state).items() for name in ends} <= set(watched)


def test_lease_ends_its_entity_at_its_time_and_not_before() -> None:
    log = Log()
    log.put(event({"n": 1}, Terms(ttl_ms=50)), clock_ms=100)
    ended(log, None, 150, 149)
    assert log.entity == {"n": 1}
    assert log.state.timers.next_us == 150 * MS
    applied = ended(log, None, 150, 150)
    assert [step[2] for step in applied.changes] == [None]
    assert log.entity is None


def test_renewed_lease_is_not_ended_by_what_was_due_before() -> None:
    log = Log()
    log.put(event({"n": 1}, Terms(ttl_ms=50)), clock_ms=100)
    log.put(event({}, Terms(ttl_ms=50)), clock_ms=140)
    ended(log, None, 150, 160)
    assert log.entity == {"n": 1}
    ended(log, None, 190, 190)
    assert log.entity is None


def test_lease_outlives_what_others_write_and_zero_takes_it_away() -> None:
    log = Log()
    log.put(event({"n": 1}, Terms(ttl_ms=50)), clock_ms=100)
    log.put(event({"m": 1}), clock_ms=110)
    assert leases_of(log.state) == {"a/1": {None: 150 * MS}}
    log.put(event({"k": 1}, Terms(ttl_ms=0)), clock_ms=120)
    assert leases_of(log.state) == {}


def test_property_ends_as_null_and_a_new_value_is_not_on_lease() -> None:
    log = Log()
    log.put(event({"n": 1, "m": 1}, Terms(property_ttl_ms={"n": 50, "m": 50})), clock_ms=100)
    log.put(event({"m": 2}), clock_ms=120)
    ended(log, "n", 150, 150)
    ended(log, "m", 150, 150)
    assert log.entity == {"n": None, "m": 2}
    assert leases_of(log.state) == {}


def test_deletion_ends_every_lease() -> None:
    log = Log()
    log.put(event({"n": 1}, Terms(ttl_ms=50, property_ttl_ms={"n": 9})))
    log.put(event({DELETED: True}))
    log.put(event({"n": 2}))
    assert leases_of(log.state) == {}


def test_presence_is_renewed_and_ended_by_its_owner_alone() -> None:
    log = Log()
    log.put(event({"n": 1}, Terms(ttl_ms=50, owner="d.1")), clock_ms=100)
    renewal = event({}, Terms(ttl_ms=50, owner="d.1"))
    assert log.put(renewal, clock_ms=120).refused == []
    assert len(log.state.entities["a/1"].positions(0, 1 << 62, 9)) == 1
    log.put(event({"n": 2}, Terms(ttl_ms=50, owner="d.2")), clock_ms=130)
    assert log.put(renewal, clock_ms=140).refused == [pack(4, 0)]
    assert log.put(event({DELETED: True}, Terms(owner="d.1"))).refused == [pack(5, 0)]
    assert log.put(event({DELETED: True}, Terms(owner="d.2"))).refused == []
    assert log.entity is None


def test_a_lease_that_is_set_ever_earlier_leaves_no_heap_of_old_entries() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.note("a/1", Leases(entity_us=1_000_000 - number))
        timers.note("a/2", Leases(properties={"v": 2_000_000 - number}))
    assert len(timers) == 2
    assert timers.entries < 2_000
    assert timers.next_us == 1_000_000 - 9_999
    assert timers.due(1 << 62, 9) == [Lease("a/1", None), Lease("a/2", "v")]


def test_renewals_and_ends_are_nobodys_events() -> None:
    log = Log()
    log.put(event({"n": 1}, Terms(ttl_ms=50, owner="d.1")), clock_ms=100)
    renewal = msgspec.structs.replace(event({}, Terms(ttl_ms=50, owner="d.1")), source="flux-presence")
    assert log.put(renewal, clock_ms=120).sources == []
    assert log.state.events_total == 1
    assert log.put(event({"n": 2}), clock_ms=130).sources == ["s"]
