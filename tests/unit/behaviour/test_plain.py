from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given

from flux_actors.behaviour.plain import encoded, plain, plain_object
from flux_actors.errors import Refused
from tests.unit.domain.strategies import json_objects, json_values, many


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Scalar:
    def item(self) -> int:
        return 3


@many
@given(json_values)
def test_plain_values_stay_as_they_are(value: Any) -> None:
    assert plain(value, "it") == value


@many
@given(json_objects)
def test_plain_objects_stay_as_they_are_and_can_be_read_back(value: dict[str, Any]) -> None:
    found = plain_object(value, "it")
    assert msgspec.msgpack.decode(encoded(found, "it", 1 << 20)) == value


def test_flat_object_is_not_copied() -> None:
    value = {"on": True, "celsius": 20.5, "name": None, "count": 3, "text": "x"}
    assert plain_object(value, "it") is value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ((1, 2), [1, 2]),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        ({Colour.RED: True}, {"red": True}),
    ],
)
def test_what_has_an_obvious_plain_form_gets_it(value: Any, found: Any) -> None:
    result = plain(value, "it")
    assert result == found
    assert type(result) is type(found)
    assert msgspec.json.encode(result) == msgspec.json.encode(found)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": {"b": [1, object()]}}, r"it\.a\.b\[1\] is of type object; only str"),
        ({"at": datetime.now(UTC)}, r"it\.at is of type datetime"),
        ({"a": b"bytes"}, r"it\.a is of type bytes"),
        ({"a": {1}}, r"it\.a is of type set"),
        ({"a": Scalar()}, r"its \.item\(\) is one"),
        ({1: 2}, "it has the key '1' of type int; keys must be strings"),
        ({"a": {None: 2}}, r"it\.a has the key 'None'"),
        ({"a": float("nan")}, r"it\.a is nan, which JSON cannot hold"),
        ({"a": float("-inf")}, r"it\.a is -inf"),
        ([1], "it must be a dict"),
        (None, "it must be a dict"),
    ],
)
def test_what_has_no_plain_form_is_refused_by_its_place(value: Any, text: str) -> None:
    with pytest.raises(Refused, match=text):
        plain_object(value, "it")


def test_value_that_nests_too_deep_is_refused() -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    assert plain(nested(128), "it") == nested(128)
    with pytest.raises(Refused, match="deeper than 128 levels"):
        plain(nested(129), "it")


def test_value_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(Refused, match="deeper than 128 levels"):
        plain_object(value, "it")


@pytest.mark.parametrize("value", [1 << 64, -(1 << 63) - 1, "\ud800"])
def test_value_that_cannot_be_encoded_is_refused(value: Any) -> None:
    with pytest.raises(Refused, match="it cannot be kept"):
        encoded(plain(value, "it"), "it", 1_000)


def test_value_that_is_too_large_is_refused() -> None:
    assert len(encoded("x" * 98, "it", 100)) == 100
    with pytest.raises(Refused, match="it has 101 bytes; at most 100"):
        encoded("x" * 99, "it", 100)
