from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.runtime_config import RuntimeConfig, changed, difference
from flux_actors.errors import Refused
from tests.unit.domain.strategies import json_values, many, value_or_400

RANGES = [
    ("rate_limit_per_namespace_per_minute", 1, 10_000_000),
    ("body_size_limit_single_bytes", 1_024, 8 * 1_024**2),
    ("body_size_limit_batch_bytes", 1_024, 64 * 1_024**2),
]
NAMES = ["rate_limit_enabled", *(name for name, _, _ in RANGES)]


def test_defaults_are_those_of_the_contract() -> None:
    assert msgspec.to_builtins(RuntimeConfig()) == {
        "rate_limit_enabled": True,
        "rate_limit_per_namespace_per_minute": 10_000,
        "body_size_limit_single_bytes": 1_048_576,
        "body_size_limit_batch_bytes": 10_485_760,
    }


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_number_within_its_range_is_taken_and_the_others_stay(name: str, low: int, high: int) -> None:
    before = RuntimeConfig(rate_limit_enabled=False)
    for value in (low, high):
        assert changed(before, {name: value}) == msgspec.structs.replace(before, **{name: value})
    for value in (low - 1, high + 1, 0, -1, 1 << 70):
        with pytest.raises(Refused, match=f"{name} must be an integer from {low} to {high}") as caught:
            changed(before, {name: value})
        assert caught.value.status == 400


@pytest.mark.parametrize("name", [name for name, _, _ in RANGES])
@pytest.mark.parametrize("value", [True, False, None, "2000", 2000.0, [], {}])
def test_number_of_another_json_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(Refused, match="integer"):
        changed(RuntimeConfig(), {name: value})


@pytest.mark.parametrize("value", [0, 1, None, "true", [], {}])
def test_switch_that_is_no_boolean_is_refused(value: object) -> None:
    assert changed(RuntimeConfig(), {"rate_limit_enabled": False}).rate_limit_enabled is False
    with pytest.raises(Refused, match="true or false"):
        changed(RuntimeConfig(), {"rate_limit_enabled": value})


@pytest.mark.parametrize("name", ["", "rate_limit", "RATE_LIMIT_ENABLED", "__class__", "x" * 10_000])
def test_unknown_key_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(Refused, match="unknown config key") as caught:
        changed(RuntimeConfig(), {name: 5_000})
    assert all(known in caught.value.message for known in NAMES)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("update", [None, [], "x", 1, True])
def test_update_that_is_no_object_is_refused(update: object) -> None:
    with pytest.raises(Refused, match="JSON object"):
        changed(RuntimeConfig(), update)


def test_empty_update_changes_nothing() -> None:
    assert changed(RuntimeConfig(), {}) == RuntimeConfig()


@given(st.dictionaries(st.sampled_from([*NAMES, "other"]), json_values | st.integers(0, 20_000), max_size=3))
@many
def test_any_update_is_taken_whole_or_refused(update: dict[str, Any]) -> None:
    after = value_or_400(lambda: changed(RuntimeConfig(), update))
    if after is not None:
        assert msgspec.to_builtins(after) == msgspec.to_builtins(RuntimeConfig()) | update
        assert msgspec.json.decode(msgspec.json.encode(after), type=RuntimeConfig) == after


def test_the_difference_of_two_configs_names_what_changed_with_both_values() -> None:
    old = RuntimeConfig()
    new = changed(old, {"rate_limit_enabled": False, "body_size_limit_single_bytes": 1_048_576})
    assert difference(old, new) == {"rate_limit_enabled": {"from": True, "to": False}}
    assert difference(old, old) == {}
