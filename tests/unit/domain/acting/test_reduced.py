"""Which entities a reducer may ever have been for."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.domain.acting.catalogue import Deployed
from flux_actors.domain.acting.reduced import EverReduced
from tests.unit.domain.acting.small_acting import REACTING, REDUCING, ActingLog, catalogue, version
from tests.unit.domain.small_log import event


def test_a_pattern_is_kept_when_its_version_is_gone() -> None:
    log = ActingLog(REDUCING)
    assert "a/1" in log.state.acting.ever_reduced
    log.deploy(catalogue(revision=2))
    assert "a/1" in log.state.acting.ever_reduced
    assert "b/1" not in log.state.acting.ever_reduced
    assert log.state.acting.ever_reduced.rows() == ["a/*"]


def test_one_that_only_reacts_is_none() -> None:
    assert "a/1" not in ActingLog(REACTING).state.acting.ever_reduced


def test_entities_share_what_they_know_of_their_behaviour() -> None:
    log = ActingLog(REDUCING)
    log.put(*(event({"n": 1}, key=f"{name}/{number}") for name in "ab" for number in range(3)))
    bindings = [actor.binding for actor in log.state.entities.values()]
    assert len({id(binding) for binding in bindings}) == 2
    log.deploy(catalogue(revision=2))
    log.put(event({"n": 1}), event({"n": 1}, key="b/1"))
    log.deploy(catalogue(*REACTING.deployed, revision=3))
    log.put(event({"n": 1}), event({"n": 1}, key="b/1"))
    found = [log.state.entities[key].binding for key in ("a/1", "b/1")]
    assert [one.name for one in found if one is not None] == ["Echo", ""]


def test_a_canary_counts() -> None:
    reducing = version("new", "a/*", ["reduce"])
    log = ActingLog(catalogue(Deployed("Echo", version("old"), reducing, "a/new")))
    assert "a/new-1" in log.state.acting.ever_reduced


def test_of_very_many_patterns_whole_namespaces_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "reduced_patterns_max", 3)
    ever = EverReduced()
    for number in range(4):
        one = version("x", f"n/{number}", ["reduce"])
        ever.note(catalogue(Deployed("X", one)))
    assert ever.rows() == ["n/*"]
    assert "n/any" in ever
    assert "m/0" not in ever
