from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from flux_actors.domain.clock import iso_of
from flux_actors.domain.dedupe import dedupe_key
from flux_actors.domain.effect import effect_of
from flux_actors.domain.event import DELETED, Event, TermedEvent, terms_in, with_terms
from flux_actors.domain.fold import Applied, PartitionState
from flux_actors.domain.leases import Lease
from flux_actors.domain.position import pack
from flux_actors.domain.terms import ABSENT, ACQUIRE, PRESENT, RELEASE, RENEW, Claim, Terms
from flux_actors.log.block import Block, Poison
from tests.unit.domain.strategies import many, numbered, termed_logs

MS = 1_000


class Model:
    """The contract of terms, event by event, written down as plainly as can be."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        self.places: dict[str, int] = {}  # of living ones
        self.ends: dict[str, dict[str | None, int]] = {}
        self.owners: dict[str, str | None] = {}
        self.names: set[str] = set()
        self.refused: list[int] = []
        self.clock = 0

    def fold(self, log: list[Block]) -> Model:
        newest: dict[int, int] = {}
        for sequence, block in numbered(log):
            self.clock = max(self.clock, block.clock_us)
            if block.number > newest.get(block.committer, 0):
                newest[block.committer] = block.number
                self._take(block.events, sequence)
        return self

    def _take(self, events: list[Any], sequence: int) -> None:
        offset = 0
        while offset < len(events):
            terms = terms_in(events[offset])
            count = max(1, terms.together) if terms is not None else 1
            group = [(pack(sequence, offset + n), e) for n, e in enumerate(events[offset : offset + count])]
            self._take_group(group)
            offset += count

    def _take_group(self, group: list[tuple[int, Any]]) -> None:
        readable = [(position, event) for position, event in group if isinstance(event, Event)]
        new = [(p, e) for p, e in readable if not (e.named_by_client and self._name(e) in self.names)]
        whole = len(readable) == len(group) and all(self._may(event) for _, event in new)
        for position, event in new:
            if not whole:
                if (terms_in(event) or Terms()).expires_us is None:
                    self.refused.append(position)
            elif not (event.named_by_client and self._name(event) in self.names):
                if event.named_by_client:
                    self.names.add(self._name(event))
                self._apply(position, event)

    def _name(self, event: Event) -> str:
        return dedupe_key(event.entity_id or "", event.event_id)

    def _may(self, event: Event) -> bool:
        terms = terms_in(event) or Terms()
        key = event.entity_id or ""
        entity, ends = self.entities.get(key), self.ends.get(key, {})
        if terms.condition == ABSENT and entity is not None:
            return False
        if terms.condition == PRESENT and entity is None:
            return False
        if terms.condition not in (None, ABSENT, PRESENT) and terms.condition != (0, self.places.get(key)):
            return False
        if terms.claim is not None:
            runs = ends.get("claim", 0) > self.clock
            held = (entity or {}).get("claim") if runs else None
            if terms.claim.verb == ACQUIRE:
                return held is None
            return held is not None and (held["holder"], held["token"]) == (
                terms.claim.holder,
                terms.claim.token,
            )
        if terms.expires_us is not None:
            name = None if event.deletes else next(iter(event.properties or {}), None)
            return terms.expires_us <= self.clock and ends.get(name) == terms.expires_us
        if terms.owner is not None and (event.deletes or not event.properties):
            return key in self.owners and self.owners[key] == terms.owner
        return True

    def _apply(self, position: int, event: Event) -> None:
        key, terms = event.entity_id, terms_in(event) or Terms()
        if key is None:
            return
        changed = event.properties or {}
        if terms.claim is not None:
            changed = self._claimed(terms.claim, position)
        elif event.deletes:
            for table in (self.entities, self.places, self.ends, self.owners):
                table.pop(key, None)
            return
        if changed:
            self.entities[key] = self.entities.get(key, {}) | changed
            self.places[key] = position
            for name in changed:
                self.ends.get(key, {}).pop(name, None)
        if key in self.entities:
            self._lease(key, terms)

    def _claimed(self, claim: Claim, position: int) -> dict[str, Any]:
        if claim.verb == RELEASE:
            return {"claim": None}
        token = position if claim.verb == ACQUIRE else claim.token
        until = iso_of(self.clock + claim.ttl_ms * MS)
        return {"claim": {"holder": claim.holder, "token": token, "expires_at": until}}

    def _lease(self, key: str, terms: Terms) -> None:
        ends = self.ends.setdefault(key, {})
        if terms.claim is not None and terms.claim.verb != RELEASE:
            ends["claim"] = self.clock + terms.claim.ttl_ms * MS
        if terms.ttl_ms is not None:
            ends.pop(None, None)
            self.owners[key] = terms.owner
            if terms.ttl_ms:
                ends[None] = self.clock + terms.ttl_ms * MS
        for name, ttl_ms in (terms.property_ttl_ms or {}).items():
            ends.pop(name, None)
            if ttl_ms and name in self.entities[key]:
                ends[name] = self.clock + ttl_ms * MS
        if not ends:
            self.ends.pop(key)
            self.owners.pop(key, None)


def leases_of(state: PartitionState) -> dict[str, dict[str | None, int]]:
    found: dict[str, dict[str | None, int]] = {}
    for actor in state.entities.values():
        if actor.leases is not None:
            whole = {None: actor.leases.entity_us} if actor.leases.entity_us is not None else {}
            found[actor.entity_id] = whole | actor.leases.properties
    return found


@given(termed_logs)
@many
def test_fold_is_what_the_contract_says_of_terms_event_by_event(log: list[Block]) -> None:
    state, model = PartitionState(0), Model().fold(log)
    applied = state.apply(numbered(log))
    living = {actor.entity_id: actor.properties for actor in state.living(state.entities)}
    assert living == model.entities
    assert {name: state.entities[name].position for name in living} == model.places
    assert list(applied.refused) == model.refused
    assert leases_of(state) == model.ends


@given(termed_logs)
@many
def test_no_lease_is_without_a_timer_that_is_early_enough(log: list[Block]) -> None:
    state = PartitionState(0)
    state.apply(numbered(log))
    watched = state.timers.due(1 << 62, 1 << 20)
    assert {Lease(key, name) for key, ends in leases_of(state).items() for name in ends} <= set(watched)


def event(
    properties: dict[str, Any] | None, terms: Terms | None = None, name: str = "", key: str = "a/1"
) -> Event:
    plain = Event(key, properties, name or "made", bool(name), "s", "t", 1)
    return plain if terms is None else with_terms(plain, terms)


class Log:
    """Blocks applied one after the other."""

    def __init__(self) -> None:
        self.state = PartitionState(0)

    def put(self, *events: Event | Poison, clock_ms: int = 0) -> Applied:
        sequence = self.state.sequence + 1
        termed = any(isinstance(one, TermedEvent) for one in events)
        block = Block(1, sequence, clock_ms * MS, list(events), termed)
        return self.state.apply([(sequence, block)])

    @property
    def entity(self) -> dict[str, Any] | None:
        actor = self.state.entities.get("a/1")
        return None if actor is None else actor.properties


def at(sequence: int, offset: int = 0) -> Terms:
    return Terms(condition=(0, pack(sequence, offset)))


def test_event_applies_where_its_entity_stands_as_it_says() -> None:
    log = Log()
    log.put(event({"n": 1}))
    assert log.put(event({"n": 2}, at(1))).refused == []
    assert log.put(event({"n": 3}, at(1))).refused == [pack(3, 0)]
    assert log.entity == {"n": 2}


def test_of_two_in_one_block_that_name_the_same_state_the_first_wins() -> None:
    log = Log()
    log.put(event({"n": 1}))
    applied = log.put(event({"n": 2}, at(1)), event({"n": 3}, at(1)))
    assert applied.refused == [pack(2, 1)]
    assert [step[2] for step in applied.changes] == [{"n": 2}]


def test_plain_event_before_it_in_the_block_counts() -> None:
    log = Log()
    assert log.put(event({"n": 1}), event({"n": 2}, Terms(condition=ABSENT))).refused == [pack(1, 1)]
    assert log.entity == {"n": 1}


def test_condition_of_another_partition_is_never_met() -> None:
    log = Log()
    log.put(event({"n": 1}))
    assert log.put(event({"n": 2}, Terms(condition=(1, pack(1, 0))))).refused == [pack(2, 0)]


def test_deleted_entity_stands_nowhere() -> None:
    log = Log()
    log.put(event({"n": 1}))
    log.put(event({DELETED: True}))
    assert log.put(event({"n": 2}, at(2))).refused == [pack(3, 0)]
    assert log.put(event({"n": 3}, Terms(condition=ABSENT))).refused == []
    assert log.entity == {"n": 3}


def test_refused_event_does_not_use_its_name_up_and_is_in_no_history() -> None:
    log = Log()
    log.put(event({"n": 1}))
    log.put(event({"n": 2}, Terms(condition=ABSENT), "id"))
    assert log.state.events_total == 1
    log.put(event({"n": 3}, Terms(condition=PRESENT), "id"))
    assert log.entity == {"n": 3}
    positions = log.state.entities["a/1"].positions(0, 1 << 62, 9)
    assert [position for position, _ in positions] == [pack(3, 0), pack(1, 0)]


def test_retry_of_one_that_was_applied_is_no_refusal() -> None:
    log = Log()
    first = event({"n": 1}, Terms(condition=ABSENT), "id")
    log.put(first)
    assert log.put(first).refused == []
    assert log.state.events_total == 1


def test_refused_event_makes_no_entity() -> None:
    log = Log()
    assert log.put(event({"n": 1}, Terms(condition=PRESENT))).refused == [pack(1, 0)]
    assert log.state.known == 0


def test_events_together_apply_all_or_none() -> None:
    log = Log()
    log.put(event({"n": 1}))
    group = [event({"m": 1}, Terms(together=2), key="a/2"), event({"n": 2}, Terms(condition=ABSENT))]
    assert log.put(*group).refused == [pack(2, 0), pack(2, 1)]
    assert "a/2" not in log.state.entities
    group[1] = event({"n": 2}, at(1))
    assert log.put(*group).refused == []
    assert log.entity == {"n": 2}
    assert log.state.entities["a/2"].properties == {"m": 1}


def test_conditions_of_events_together_are_asked_of_the_state_before_all_of_them() -> None:
    log = Log()
    log.put(event({"n": 1}))
    both = [event({"n": 2}, Terms(condition=(0, pack(1, 0)), together=2)), event({"m": 2}, at(1))]
    assert log.put(*both).refused == []
    assert log.entity == {"n": 2, "m": 2}


def test_poison_among_events_together_leaves_none_of_them() -> None:
    log = Log()
    applied = log.put(event({"n": 1}, Terms(together=3)), Poison("bad"), event({"m": 1}))
    assert applied.refused == [pack(1, 0), pack(1, 2)]
    assert [item.reason for item in applied.poison] == ["bad"]
    assert log.entity is None


def ended(log: Log, name: str | None, deadline_ms: int, clock_ms: int) -> Applied:
    properties = {DELETED: True} if name is None else {name: None}
    return log.put(event(properties, Terms(expires_us=deadline_ms * MS)), clock_ms=clock_ms)


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


def claim(verb: str, holder: str, token: int | None = None, ttl_ms: int = 50) -> Event:
    return event(None, Terms(claim=Claim(verb, holder, ttl_ms, token)))


def test_claim_has_one_holder_until_it_is_released() -> None:
    log = Log()
    log.put(claim(ACQUIRE, "me"), clock_ms=100)
    assert log.entity == {
        "claim": {"holder": "me", "token": pack(1, 0), "expires_at": "1970-01-01T00:00:00.150000+00:00"}
    }
    assert log.put(claim(ACQUIRE, "you"), clock_ms=110).refused == [pack(2, 0)]
    assert log.put(claim(RELEASE, "you", pack(1, 0)), clock_ms=110).refused == [pack(3, 0)]
    assert log.put(claim(RELEASE, "me", pack(1, 0)), clock_ms=110).refused == []
    assert log.entity == {"claim": None}
    log.put(claim(ACQUIRE, "you"), clock_ms=110)
    assert (log.entity or {})["claim"]["token"] == pack(5, 0)


def test_claim_that_ran_out_is_free_by_the_clock_before_it_is_ended() -> None:
    log = Log()
    log.put(claim(ACQUIRE, "me"), clock_ms=100)
    assert log.put(claim(RENEW, "me", pack(1, 0)), clock_ms=150).refused == [pack(2, 0)]
    assert log.put(claim(ACQUIRE, "you"), clock_ms=150).refused == []
    ended(log, "claim", 150, 160)
    assert (log.entity or {})["claim"]["holder"] == "you"


def test_renewed_claim_keeps_its_token() -> None:
    log = Log()
    log.put(claim(ACQUIRE, "me"), clock_ms=100)
    log.put(claim(RENEW, "me", pack(1, 0)), clock_ms=140)
    held = (log.entity or {})["claim"]
    assert (held["token"], held["expires_at"]) == (pack(1, 0), iso_of(190 * MS))
    assert log.put(claim(ACQUIRE, "you"), clock_ms=189).refused == [pack(3, 0)]


@given(termed_logs)
@many
def test_what_an_applied_event_did_is_told_by_its_effect(log: list[Block]) -> None:
    state = PartitionState(0)
    by_position = {
        pack(sequence, offset): (one, block)
        for sequence, block in numbered(log)
        for offset, one in enumerate(block.events)
    }
    for position, _, properties, clock_us in state.apply(numbered(log)).changes:
        assert effect_of(by_position[position][0], position, clock_us) == properties


@pytest.mark.parametrize("terms", [Terms(), Terms(ttl_ms=5), Terms(expires_us=5), Terms(owner="o")])
def test_only_conditions_claims_and_groups_are_waited_for(terms: Terms) -> None:
    assert not terms.decides
    assert Terms(condition=ABSENT).decides
    assert Terms(together=1).decides
    assert Terms(claim=Claim(ACQUIRE, "me")).decides
