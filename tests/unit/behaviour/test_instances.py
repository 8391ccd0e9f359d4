from __future__ import annotations

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.instances import Instances, Kept
from flux_actors.domain.acting.catalogue import Bounds

BOUNDS = Bounds(effects_per_s=10.0)


class Remembering(Behaviour):
    """Its instances remember something from the first moment on."""

    def __init__(self) -> None:
        self.seen = 0


def used(instances: Instances, entity_id: str, digest: str = "v1") -> Kept:
    """Have an entity's run be over that has written into its instance."""
    kept = instances.of(entity_id, digest)
    kept.instance = kept.instance or Remembering()
    instances.rest(entity_id, kept)
    return kept


def test_entity_is_kept_with_its_instance() -> None:
    instances = Instances()
    first = used(instances, "a")
    assert instances.of("a", "v1") is first
    assert len(instances) == 1


def test_instance_that_remembers_nothing_serves_the_next_entity() -> None:
    instances = Instances()
    kept = instances.of("a", "v1")
    blank = kept.instance = Behaviour()
    instances.rest("a", kept)
    assert len(instances) == 0
    assert instances.of("b", "v1").instance is blank
    assert instances.of("c", "v1").instance is None
    assert instances.of("d", "v2").instance is None


def test_instance_that_has_begun_to_remember_is_its_entitys_own() -> None:
    instances = Instances()
    kept = instances.of("a", "v1")
    kept.instance = Behaviour()
    instances.rest("a", kept)
    again = instances.of("a", "v1")
    again.instance.seen = 1
    instances.rest("a", again)
    assert instances.of("b", "v1").instance is None
    assert instances.of("a", "v1").instance.seen == 1


def test_entity_that_had_effects_is_kept_for_its_allowance() -> None:
    instances = Instances()
    kept = instances.of("a", "v1")
    kept.instance = Behaviour()
    assert kept.allow(100, BOUNDS, 0.0)
    instances.rest("a", kept)
    assert not instances.of("a", "v1").allow(1, BOUNDS, 0.0)


def test_other_version_has_no_instance_yet_and_the_same_allowance() -> None:
    instances = Instances()
    kept = used(instances, "a")
    assert kept.allow(100, BOUNDS, 0.0)
    newer = instances.of("a", "v2")
    assert newer.instance is None
    assert not newer.allow(1, BOUNDS, 0.0)


def test_longest_unused_one_goes_first() -> None:
    instances = Instances(most=2)
    first = used(instances, "a")
    used(instances, "b")
    assert used(instances, "a") is first
    used(instances, "c")
    assert len(instances) == 2
    assert instances.of("a", "v1") is first


def test_forgotten_one_begins_anew() -> None:
    instances = Instances()
    first = used(instances, "a")
    instances.forget(["a", "never"])
    assert instances.of("a", "v1") is not first


def test_allowance_is_ten_seconds_of_effects_and_fills_again() -> None:
    kept = Kept("v1")
    assert kept.allow(100, BOUNDS, 5.0)
    assert not kept.allow(1, BOUNDS, 5.0)
    assert kept.allow(5, BOUNDS, 5.5)
    assert not kept.allow(1, BOUNDS, 5.5)
    assert kept.allow(100, BOUNDS, 1_000.0)
    assert not kept.allow(1, BOUNDS, 1_000.0)


def test_what_was_refused_does_not_count() -> None:
    kept = Kept("v1")
    assert not kept.allow(101, BOUNDS, 0.0)
    assert kept.allow(100, BOUNDS, 0.0)


def test_slowest_rate_allows_one_effect() -> None:
    kept = Kept("v1")
    assert kept.allow(1, Bounds(effects_per_s=0.001), 0.0)
    assert not kept.allow(1, Bounds(effects_per_s=0.001), 999.0)
    assert kept.allow(1, Bounds(effects_per_s=0.001), 1_001.0)
