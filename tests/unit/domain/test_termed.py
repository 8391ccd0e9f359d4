from __future__ import annotations

from typing import Any

from hypothesis import given

from flux_actors.domain.clock import iso_of
from flux_actors.domain.dedupe import dedupe_key
from flux_actors.domain.event import Event, terms_in
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.position import pack
from flux_actors.domain.terms import ABSENT, ACQUIRE, PRESENT, RELEASE, Claim, Terms
from flux_actors.log.block import Block, Poison
from tests.unit.domain.small_log import MS, Log, at, event, leases_of
from tests.unit.domain.strategies import many, numbered, termed_logs


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
        for position, one in new:
            if not whole:
                if (terms_in(one) or Terms()).expires_us is None:
                    self.refused.append(position)
            elif not (one.named_by_client and self._name(one) in self.names):
                if one.named_by_client:
                    self.names.add(self._name(one))
                self._apply(position, one)

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
            if name == "claim":
                continue  # its lease is for claims alone to set
            ends.pop(name, None)
            if ttl_ms and name in self.entities[key]:
                ends[name] = self.clock + ttl_ms * MS
        if not ends:
            self.ends.pop(key)
            self.owners.pop(key, None)


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
