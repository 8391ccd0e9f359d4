from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace

from flux_actors import limits
from flux_actors.domain.acting.catalogue import Bounds, Dedicated, Supervision, Version
from flux_actors.domain.acting.versions import check_name, check_node, check_prefix, check_version
from flux_actors.errors import Refused

GOOD = Version(0, "ab" * 32, ["home/*/thermostat"], ["reduce", "on_change", "on_ask"], ["on_ask"])


def test_version_that_can_be_deployed_is_given_back() -> None:
    assert check_version(GOOD) is GOOD
    everything = replace(
        GOOD, match=["home/*", "office/a"], dedicated=Dedicated(0, 0, {"arm": 1}), environment="cd" * 32
    )
    assert check_version(everything) is everything


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("digest", "", "digest"),
        ("digest", "../../etc", "digest"),
        ("environment", "x", "runtime_env"),
        ("match", [], "needs match"),
        ("match", [""], "entity_id"),
        ("match", ["a/b", "a/\n"], "control characters"),
        ("match", ["x" * 513], "512 bytes"),
        ("match", ["flux-core/*"], "flux-core"),
        ("match", ["home/**"], "one part"),
        *(("match", [one], "spelled out") for one in ("*", "*/x", "lamp", "home/", "/x", "ho*/x")),
        ("match", ["a/b"] * (limits.behaviour_patterns_max + 1), "patterns"),
        ("handles", [], "this class has none"),
        ("handles", ["on_fire"], "on_fire"),
        ("awaits", ["on_tell"], "on_tell"),
        ("awaits", ["reduce"], "must not be async"),
        ("bounds", Bounds(handler_s=0), "handler_s"),
        ("bounds", Bounds(memory_bytes=-1), "memory_bytes"),
        ("bounds", Bounds(async_s=math.inf), "async_s"),
        ("bounds", Bounds(effects_per_s=math.nan), "effects_per_s"),
        ("supervision", Supervision("hope"), "strategy"),  # type: ignore[arg-type]
        ("supervision", Supervision(retries=-1), "retries"),
        ("supervision", Supervision(backoff_s=11), "backoff_s"),
        ("dedicated", Dedicated(num_cpus=-1), "num_cpus"),
        ("dedicated", Dedicated(resources={"arm": math.nan}), "arm"),
        ("dedicated", Dedicated(idle_s=0), "idle_s"),
    ],
)
def test_version_that_cannot_be_is_refused_with_the_reason(part: str, value: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        check_version(replace(GOOD, **{part: value}))


@pytest.mark.parametrize("name", ["Thermostat", "my_pkg.home.Thermostat-2", "_x", "a" * 100])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-x", "…", "a" * 101, "x\n", "*"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(Refused, match="such as Thermostat"):
        check_name(name)


@pytest.mark.parametrize("prefix", ["", "flux-core/x", "a\n", "x" * 513])
def test_what_no_canary_can_begin_with(prefix: str) -> None:
    with pytest.raises(Refused):
        check_prefix(prefix)


def test_nodes_are_named_as_ray_does() -> None:
    assert check_prefix("home/h") == "home/h"
    assert check_node("0f" * 28) == "0f" * 28
    for node in ("", "node-1", "f" * 65):
        with pytest.raises(Refused, match=r"ray\.nodes"):
            check_node(node)
