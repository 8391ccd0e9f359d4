from __future__ import annotations

from flux_actors.domain.acting.difference import difference


def test_what_is_gone_is_null_and_what_is_null_already_is_left_alone() -> None:
    assert difference({"a": 1, "b": None, "c": 3}, {"c": 3}) == {"a": None}


def test_values_that_are_only_equal_for_python_differ() -> None:
    assert difference({"a": 1}, {"a": True}) == {"a": True}


def test_entity_that_was_not_there_gets_all() -> None:
    assert difference(None, {"a": None}) == {"a": None}
