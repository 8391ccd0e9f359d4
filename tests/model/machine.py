"""The state machine: any interleaving of publishes, reads, snapshots, crashes and repeats, and its laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.model.driver import Driver
from tests.model.world import DELETED, Draft, Seen, World, place_of

IDS = ("a/1", "a/2", "b/1", "b/deep/er", "c/1", "wide/1", "wide/2", "wide/3", "lonely")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
    max_leaves=4,
)
PROPERTIES = st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3) | st.just({DELETED: True})
ENTITIES = st.sampled_from(IDS)
DRAFTS = st.builds(Draft, ENTITIES, PROPERTIES, st.sampled_from([None, "named"]), st.none())
TOGETHER = st.builds(
    Draft, st.sampled_from(["a/1", "a/2"]), PROPERTIES, st.sampled_from([None, "named"]), st.none()
)
CONDITIONS = st.sampled_from(["etag", "etag", "other", "absent", "present"])
COUNTS = st.integers(0, 1_000)


class EngineMachine(RuleBasedStateMachine):
    """Drives one engine beside the dict model."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver
        self.world = World()
        self.up = True
        self.restarts = 0
        self.named = 0
        self.moments: dict[tuple[str, str], str] = {}

    @property
    def writable(self) -> bool:
        return self.up or self.driver.writes_without_shards

    @precondition(lambda self: self.writable)
    @rule(draft=DRAFTS, answer_lost=st.booleans())
    def publish(self, draft: Draft, answer_lost: bool) -> None:  # noqa: FBT001 - drawn by name
        draft = self.with_id(draft)
        answer_lost = answer_lost and draft.event_id is not None
        self.world.take(draft, self.driver.publish(draft, answer_lost=answer_lost))

    @precondition(lambda self: self.writable)
    @rule(drafts=st.lists(DRAFTS, min_size=1, max_size=6), repeat=st.booleans())
    def batch(self, drafts: list[Draft], repeat: bool) -> None:  # noqa: FBT001 - drawn by name
        sent = [self.with_id(draft) for draft in drafts]
        if repeat:
            sent += [draft for draft in sent if draft.event_id is not None]
        for draft, acked in zip(sent, self.driver.publish_batch(sent), strict=True):
            self.world.take(draft, acked)

    @precondition(lambda self: self.writable)
    @rule(draft=DRAFTS, kind=CONDITIONS, which=COUNTS)
    def publish_if(self, draft: Draft, kind: str, which: int) -> None:
        draft = self.with_id(draft)._replace(condition=self.condition(draft.entity_id, kind, which))
        meets = self.world.meets(draft)
        acked = self.driver.publish_if(draft)
        assert (acked is not None) == (meets or not self.driver.tells_refusals)
        if meets and acked is not None:
            self.world.take(draft, acked)

    @precondition(lambda self: self.writable)
    @rule(drafts=st.lists(st.tuples(TOGETHER, CONDITIONS | st.none()), min_size=1, max_size=4), which=COUNTS)
    def publish_whole(self, drafts: list[tuple[Draft, str | None]], which: int) -> None:
        asked = [
            self.with_id(draft)._replace(
                condition=None if kind is None else self.condition(draft.entity_id, kind, which)
            )
            for draft, kind in drafts
        ]
        meets = all(map(self.world.meets, asked))
        acked = self.driver.publish_whole(asked)
        assert (acked is not None) == (meets or not self.driver.tells_refusals)
        if meets and acked is not None:
            for draft, one in zip(asked, acked, strict=True):
                self.world.take(draft, one)

    @precondition(lambda self: self.writable)
    @rule(entity_id=ENTITIES)
    def delete(self, entity_id: str) -> None:
        self.world.take(Draft(entity_id, {DELETED: True}), self.driver.delete(entity_id))

    @precondition(lambda self: self.writable and self.world.named())
    @rule(which=COUNTS, properties=PROPERTIES)
    def duplicate_event(self, which: int, properties: dict[str, Any]) -> None:
        named = self.world.named()
        again = named[which % len(named)]._replace(properties=properties)
        assert self.driver.publish(again, answer_lost=False).event_id == again.event_id

    @precondition(lambda self: self.writable and self.world.kept)
    @rule(which=COUNTS)
    def duplicate_block(self, which: int) -> None:
        draft, _ = self.world.kept[which % len(self.world.kept)]
        self.driver.resend_block(draft.entity_id)

    @precondition(lambda self: self.up)
    @rule(turn=COUNTS, blocks=st.integers(1, 4))
    def deliver_out_of_turn(self, turn: int, blocks: int) -> None:
        self.driver.deliver(turn, blocks)

    @precondition(lambda self: self.up)
    @rule(entity_id=ENTITIES)
    def read(self, entity_id: str) -> None:
        self.agree(entity_id, self.driver.read(entity_id))

    @precondition(lambda self: self.up and self.world.kept)
    @rule(whose=COUNTS, when=COUNTS)
    def read_the_past(self, whose: int, when: int) -> None:
        draft, acked = self.world.kept[whose % len(self.world.kept)]
        places = self.world.places(acked.place[0])
        place = places[when % len(places)]
        seen = self.driver.read_at(draft.entity_id, place)
        expected = self.world.entities_at(place).get(draft.entity_id)
        assert (seen and (seen.body, seen.etag)) == expected
        if seen is not None:
            self.time_stands(draft.entity_id, seen)

    @precondition(lambda self: self.up and self.restarts < self.driver.restarts_max)
    @rule(turn=COUNTS, slices=st.integers(1, 6))
    def snapshot(self, turn: int, slices: int) -> None:
        self.restarts += 1
        self.driver.snapshot(turn, slices)

    @precondition(lambda self: self.up and self.restarts < self.driver.restarts_max)
    @rule()
    def crash(self) -> None:
        self.restarts += 1
        self.up = False
        self.driver.crash()

    @precondition(lambda self: not self.up)
    @rule()
    def restart(self) -> None:
        self.driver.restart()
        self.up = True

    @invariant()
    def what_is_visible_is_the_model(self) -> None:
        if not self.up:
            return
        observed = self.driver.observe(IDS)
        expected = self.world.entities(observed.reached)
        assert observed.entities.keys() == expected.keys()
        for name, seen in observed.entities.items():
            assert (seen.body, seen.etag) == expected[name]
            self.time_stands(name, seen)
        histories = self.world.histories(observed.reached)
        assert observed.histories == {name: histories.get(name, []) for name in IDS}

    def teardown(self) -> None:
        """Whatever happened, one more crash loses and changes nothing."""
        try:
            if self.up:
                self.driver.crash()
            self.driver.restart()
            self.up = True
            for name in IDS:
                self.agree(name, self.driver.read(name))
            self.what_is_visible_is_the_model()
        finally:
            self.driver.close()

    def agree(self, entity_id: str, seen: Seen | None) -> None:
        """The entity is as every acknowledged event left it."""
        expected = self.world.entities().get(entity_id)
        assert (seen and (seen.body, seen.etag)) == expected
        if seen is not None:
            self.time_stands(entity_id, seen)

    def time_stands(self, entity_id: str, seen: Seen) -> None:
        """`lastUpdated` of one ETag is the same for ever, and never runs backwards from one to the next."""
        assert self.moments.setdefault((entity_id, seen.etag), seen.last_updated) == seen.last_updated
        for (name, etag), moment in self.moments.items():
            if name == entity_id and place_of(etag) < place_of(seen.etag):
                assert moment <= seen.last_updated

    def condition(self, entity_id: str, kind: str, which: int) -> dict[str, Any]:
        """Return a condition on an entity: on its present state, or on some state of some entity."""
        present = self.world.entities()
        etags = [entity.etag for entity in present.values()] + ['"0.1.0"']
        if kind == "etag" and entity_id in present:
            return {"etag": present[entity_id].etag}
        return {kind: True} if kind in {"absent", "present"} else {"etag": etags[which % len(etags)]}

    def with_id(self, draft: Draft) -> Draft:
        if draft.event_id is None:
            return draft
        self.named += 1
        return draft._replace(event_id=f"event-{self.named}")


def machine_of(make_driver: Callable[[], Driver], kind: type[EngineMachine] = EngineMachine) -> Any:
    """Return a factory of machines, each with an engine of its own."""
    return lambda: kind(make_driver())
