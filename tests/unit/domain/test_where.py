"""The language of `where`: what it means, what it refuses, and that it is what it was made of."""

from __future__ import annotations

import json
import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.where import where_of
from flux_actors.errors import Refused

ROBOT = {
    "status": "busy",
    "battery": {"level": 0.25, "cells": [1, 2]},
    "count": 7,
    "big": 2**64 - 1,
    "on": True,
    "owner": None,
    "room no": "12",
    "not": 1,
    "a.b": 5,
    "nothing": 2,
    "order": 3,
    "größe": 4,
    "true": "yes",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('status = "busy"', True),
        ('status == "busy"', True),
        ('status != "busy"', False),
        ('status > "b"', True),
        ("count >= 7", True),
        ("count < 7.5", True),
        ("count = 7.0", True),
        ("count=7", True),
        ("count<-7", False),
        ("count < 1e3", True),
        ("big = 18446744073709551615", True),
        ("big > 18446744073709551614", True),
        ("battery.level > 0.2", True),
        ("battery . level > 0.2", True),
        ("battery.level.x > 0.2", False),
        ("battery.cells = 1", False),
        ("battery != 1", False),
        ("on = true", True),
        ("on != false", True),
        ("on = 1", False),
        ("on != 1", False),
        ("count = true", False),
        ("owner = null", True),
        ("owner != null", False),
        ("count != null", True),
        ("count = null", False),
        ("missing = null", False),
        ("missing != null", False),
        ("missing != 5", False),
        ("not missing = 5", True),
        ("exists(owner)", True),
        ("exists (battery.level)", True),
        ("exists(battery.volts)", False),
        ("exists(missing)", False),
        ('`room no` = "12"', True),
        ("`a.b` = 5", True),
        ("a.b = 5", False),
        ("`not` = 1", True),
        ("nothing = 2 and order = 3", True),
        ("größe = 4", True),
        ('true = "yes"', True),
        ("NOT count = 8 AND on = true", True),
        ("count = 8 or count = 7 and on = true", True),
        ("(count = 8 or count = 7) and on = false", False),
        ("not (count = 8 or on = false)", True),
        ("not not on = true", True),
        (r'status != "bu\"sy\n\u00e9"', True),
        (" \t(((count = 7)))\n", True),
    ],
)
def test_it_means(text, expected):
    assert where_of(text)(ROBOT) is expected


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "ends too early"),
        ("count", "ends too early"),
        ("count =", "ends too early"),
        ("(count = 1", "ends too early"),
        ("count = 1)", "character 10"),
        ("count = 1 2", "character 11"),
        ("count = 01", "character 9"),
        ("count = 1x", "character 9"),
        ("count = 'a'", "character 9"),
        ("count = nan", "character 9"),
        ("count = other", "character 9"),
        ("count => 1", "character 8"),
        ("7 = count", "character 1"),
        ("count = 1 & on = true", "character 11"),
        ("__import__('os')", "character 11"),
        ("exists()", "character 8"),
        ("a..b = 1", "character 3"),
        ('status = "a', "character 10"),
        (r'status = "\x"', "is no JSON value"),
        ("on > true", "in no order"),
        ("owner <= null", "in no order"),
        ("count = 1e999", "is no JSON value"),
    ],
)
def test_what_it_refuses_and_where(text, place):
    with pytest.raises(Refused, match="where") as caught:
        where_of(text)
    assert caught.value.status == 400
    assert place in caught.value.message


def test_it_is_bounded():
    deepest = limits.where_depth_max - 1
    assert where_of("not " * deepest + "on = true")(ROBOT) is (deepest % 2 == 0)
    with pytest.raises(Refused, match="levels deep"):
        where_of("not " * (deepest + 1) + "on = true")
    assert where_of("(" * 500 + "on = true" + ")" * 500)(ROBOT)
    long = " or ".join(["on = false"] * 290)
    assert len(long) < limits.where_chars_max
    assert not where_of(long)(ROBOT)
    with pytest.raises(Refused, match="characters"):
        where_of(long * 2)


NAMES = st.sampled_from(["a", "b", "c d", "or", "e.f", "é"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
)
SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ENTITIES = st.dictionaries(NAMES, SCALARS | st.dictionaries(NAMES, SCALARS, max_size=3), max_size=4)


def found(entity: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(entity, dict) or name not in entity:
            return ...
        entity = entity[name]
    return entity


def kind(value: Any) -> Any:
    return float if type(value) is int else type(value)


def compared(entity: Any, path: list[str], sign: str, value: Any) -> bool:
    at = found(entity, path)
    if value is None and sign == "!=":
        return at is not None and at is not ...
    return kind(at) is kind(value) and SIGNS[sign](at, value)


PATHS = st.lists(NAMES, min_size=1, max_size=2)


def written(path: list[str]) -> str:
    return ".".join(f"`{name}`" for name in path)


@st.composite
def comparisons(draw):
    path, value = draw(PATHS), draw(SCALARS)
    ordered = value is not None and not isinstance(value, bool)
    sign = draw(st.sampled_from(list(SIGNS) if ordered else ["=", "!="]))
    text = f"{written(path)} {sign} {json.dumps(value)}"
    return text, lambda entity: compared(entity, path, sign, value)


CONDITIONS = st.recursive(
    comparisons()
    | PATHS.map(lambda path: (f"exists({written(path)})", lambda entity: found(entity, path) is not ...)),
    lambda inner: (
        inner.map(lambda one: (f"not ({one[0]})", lambda entity: not one[1](entity)))
        | st.tuples(inner, inner).map(
            lambda two: (
                f"({two[0][0]}) and ({two[1][0]})",
                lambda entity: two[0][1](entity) and two[1][1](entity),
            )
        )
        | st.tuples(inner, inner).map(
            lambda two: (
                f"({two[0][0]}) or ({two[1][0]})",
                lambda entity: two[0][1](entity) or two[1][1](entity),
            )
        )
    ),
    max_leaves=8,
)


@given(CONDITIONS, ENTITIES)
def test_it_is_what_it_was_made_of(condition, entity):
    text, expected = condition
    assert where_of(text)(entity) is expected(entity)


@given(st.text(max_size=60) | st.text('abnotexis()=<>!."`0123456789 ', max_size=60))
def test_any_text_is_a_condition_or_a_400(text):
    try:
        told = where_of(text)({"a": 1})
    except Refused as refused:
        told = refused.status
    assert told in (True, False, 400)
