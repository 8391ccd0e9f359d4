from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flux_actors import limits
from flux_actors.domain.acting import deploying
from flux_actors.domain.acting.catalogue import Catalogue, Deployed, Version
from flux_actors.domain.acting.deploying import (
    canary,
    deploy,
    pin,
    promote,
    remove,
    resumed,
    rollback,
    stopped,
)
from flux_actors.errors import Refused
from tests.unit.domain.strategies import many

NOTHING = Catalogue()
NODE = "0f" * 28
names = st.sampled_from(["Fan", "Thermostat"])


def version(letter: str, match: str = "home/*") -> Version:
    return Version(0, letter * 64, [match], ["on_change"], deployed_us=1)


versions = st.sampled_from("abc").map(version)
changes = st.one_of(
    st.builds(lambda name, one: lambda c: deploy(c, name, one), names, versions),
    st.builds(lambda name, one: lambda c: canary(c, name, one, "home/h"), names, versions),
    *(
        st.builds(lambda name, change=change: lambda c: change(c, name), names)
        for change in (promote, rollback, remove, resumed, stopped)
    ),
    st.sampled_from(["home/a", "home/b"]).map(lambda entity_id: lambda c: pin(c, entity_id, NODE)),
    st.just(lambda c: pin(c, "home/a", None)),
)


def one_of(catalogue: Catalogue, name: str = "Fan") -> Deployed:
    (found,) = [one for one in catalogue.deployed if one.name == name]
    return found


def digests(catalogue: Catalogue, name: str = "Fan") -> tuple[str | None, str | None, list[str]]:
    """The first letters of what is in force, is tried, and was before."""
    one = one_of(catalogue, name)
    stable, tried = one.stable, one.canary
    return (
        stable.digest[0] if stable is not None else None,
        tried.digest[0] if tried is not None else None,
        [before.digest[0] for before in one.earlier],
    )


def check(catalogue: Catalogue) -> None:
    """What holds of every catalogue."""
    assert [one.name for one in catalogue.deployed] == sorted({one.name for one in catalogue.deployed})
    for one in catalogue.deployed:
        assert one.stable is not None or one.canary is not None
        assert (one.canary is None) == (not one.canary_prefix)
        assert all(1 <= each.number <= one.numbered for each in of(one))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(catalogue), type=Catalogue) == catalogue


def of(one: Deployed) -> list[Version]:
    return [each for each in (one.stable, one.canary, *one.earlier) if each is not None]


@given(st.lists(changes, max_size=12))
@many
def test_whatever_is_changed_the_catalogue_stays_one(
    steps: list[Callable[[Catalogue], Catalogue]],
) -> None:
    catalogue = NOTHING
    meant: dict[str, dict[int, str]] = {}  # by each number of a behaviour, as long as that is there
    for step in steps:
        after = catalogue
        with suppress(Refused):
            after = step(catalogue)
        assert (after is catalogue) == (after == catalogue)
        assert after.revision == catalogue.revision + (after is not catalogue)
        check(after)
        meant = {one.name: meant.get(one.name, {}) for one in after.deployed}
        for one in after.deployed:
            for each in of(one):
                assert meant[one.name].setdefault(each.number, each.digest) == each.digest
        catalogue = after


def test_deployed_version_holds_and_the_one_before_can_be_gone_back_to() -> None:
    first = deploy(NOTHING, "Fan", version("a"))
    second = deploy(first, "Fan", version("b"))
    assert digests(second) == ("b", None, ["a"])
    assert (first.revision, second.revision) == (1, 2)
    assert second.binding("home/x").version == replace(version("b"), number=2)
    back = rollback(second, "Fan")
    assert digests(back) == ("a", None, [])
    assert back.binding("home/x").version == replace(version("a"), number=1)
    with pytest.raises(Refused, match="no earlier version") as caught:
        rollback(back, "Fan")
    assert caught.value.status == 409


def test_number_is_never_given_twice() -> None:
    back = rollback(deploy(deploy(NOTHING, "Fan", version("a")), "Fan", version("b")), "Fan")
    assert one_of(deploy(back, "Fan", version("c"))).stable == replace(version("c"), number=3)


def test_deploying_the_same_again_changes_nothing() -> None:
    once = deploy(NOTHING, "Fan", version("a"))
    assert deploy(once, "Fan", replace(version("a"), deployed_us=99)) is once
    assert deploy(once, "Fan", version("a", "office/*")).revision == 2
    tried = canary(once, "Fan", version("b"), "home/h")
    assert canary(tried, "Fan", version("b"), "home/h") is tried
    assert canary(tried, "Fan", version("b"), "home/k").revision == 3


def test_as_many_earlier_versions_are_kept_as_the_limit_says() -> None:
    catalogue = NOTHING
    for number in range(limits.behaviour_versions_kept + 5):
        catalogue = deploy(catalogue, "Fan", version("ab"[number % 2]))
    earlier = one_of(catalogue).earlier
    assert [one.number for one in earlier] == list(range(5, limits.behaviour_versions_kept + 5))


def test_canary_is_tried_by_some_ids_and_then_holds_for_all() -> None:
    stable = deploy(NOTHING, "Fan", version("a"))
    tried = canary(stable, "Fan", version("b"), "home/h")
    assert digests(tried) == ("a", "b", [])
    for entity_id, digest in (("home/hall", "b"), ("home/cellar", "a")):
        found = tried.binding(entity_id).version
        assert found is not None
        assert found.digest[0] == digest
    assert digests(promote(tried, "Fan")) == ("b", None, ["a"])
    assert digests(rollback(tried, "Fan")) == ("a", None, [])
    assert digests(deploy(tried, "Fan", version("c"))) == ("c", None, ["a"])
    assert digests(deploy(tried, "Fan", version("a"))) == ("a", None, ["a"])


def test_canary_alone_that_is_rolled_back_leaves_nothing() -> None:
    tried = canary(NOTHING, "Fan", version("b"), "home/h")
    assert digests(promote(tried, "Fan")) == ("b", None, [])
    assert rollback(tried, "Fan") == Catalogue(revision=2)


def test_what_is_not_there_is_refused_with_what_is() -> None:
    catalogue = deploy(NOTHING, "Fan", version("a"))
    for change in (promote, rollback, remove, resumed):
        with pytest.raises(Refused, match="deployed are Fan") as caught:
            change(catalogue, "Fun")
        assert caught.value.status == 404
        with pytest.raises(Refused, match="none is deployed"):
            change(NOTHING, "Fan")
    with pytest.raises(Refused, match="no canary"):
        promote(catalogue, "Fan")


def test_removed_behaviour_is_gone_and_others_stay() -> None:
    both = deploy(deploy(NOTHING, "Fan", version("a")), "Thermostat", version("b", "home/*/t"))
    left = remove(both, "Thermostat")
    assert [one.name for one in left.deployed] == ["Fan"]
    assert left.binding("home/hall/t").name == "Fan"


def test_fault_stops_the_version_that_it_is_of_alone() -> None:
    catalogue = canary(deploy(NOTHING, "Fan", version("a")), "Fan", version("b"), "home/h")
    assert stopped(catalogue, "Fan", 3) is catalogue
    assert stopped(catalogue, "Gone", 1) is catalogue
    for number in (None, 1, 2):
        halted = stopped(catalogue, "Fan", number)
        assert one_of(halted).stopped
        assert stopped(halted, "Fan", number) is halted
        assert not one_of(resumed(halted, "Fan")).stopped
    assert resumed(catalogue, "Fan") is catalogue


@pytest.mark.parametrize(
    "choose",
    [promote, rollback, lambda c, name: deploy(c, name, version("a"))],
    ids=["promote", "back", "new"],
)
def test_choosing_a_version_starts_a_stopped_behaviour_again(
    choose: Callable[[Catalogue, str], Catalogue],
) -> None:
    tried = canary(deploy(NOTHING, "Fan", version("a")), "Fan", version("b"), "home/h")
    assert not one_of(choose(stopped(tried, "Fan"), "Fan")).stopped


def test_same_version_starts_a_stopped_behaviour_again_and_a_canary_does_not() -> None:
    halted = stopped(deploy(NOTHING, "Fan", version("a")), "Fan")
    assert not one_of(deploy(halted, "Fan", version("a"))).stopped
    with pytest.raises(Refused, match="resume Fan"):
        canary(halted, "Fan", version("b"), "home/h")


def test_entities_are_pinned_and_unpinned() -> None:
    pinned = pin(NOTHING, "home/a", NODE)
    assert pinned == Catalogue(1, pins={"home/a": NODE})
    assert pin(pinned, "home/a", NODE) is pinned
    assert pin(pinned, "home/b", None) is pinned
    assert pin(pinned, "home/a", None) == Catalogue(2)
    for entity_id, node in (("flux-core/x", NODE), ("", NODE), ("home/a", "moon")):
        with pytest.raises(Refused):
            pin(NOTHING, entity_id, node)


def test_catalogue_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "behaviours_max", 2)
    monkeypatch.setattr(limits, "pins_max", 1)
    catalogue = pin(deploy(deploy(NOTHING, "A", version("a")), "B", version("b")), "home/a", NODE)
    assert deploy(catalogue, "B", version("c")).revision == 4
    with pytest.raises(Refused, match="2 behaviours"):
        deploy(catalogue, "C", version("c"))
    with pytest.raises(Refused, match="1 entities are pinned"):
        pin(catalogue, "home/b", NODE)
    monkeypatch.setattr(limits, "catalogue_bytes_max", 300)
    with pytest.raises(Refused, match="may take 300") as caught:
        deploy(NOTHING, "C", version("c", "home/" + "x" * 200))
    assert caught.value.status == 413


def test_names_and_versions_are_checked() -> None:
    bad = version("a", "flux-core/*")
    for change in (deploy, lambda c, name, one: deploying.canary(c, name, one, "home/h")):
        with pytest.raises(Refused, match="flux-core"):
            change(NOTHING, "Fan", bad)
        with pytest.raises(Refused, match="such as Thermostat"):
            change(NOTHING, "a/b", version("a"))
