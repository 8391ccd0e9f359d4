"""From Python values to events: what JSON has goes through as it is, all else is made so or refused."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from flux_actors import limits
from flux_actors.domain.event import TermedEvent
from flux_actors.domain.terms import ABSENT, PRESENT
from flux_actors.errors import Refused
from flux_actors.native.events import (
    check_event_id,
    deletion_of,
    event_of,
    plain,
    plain_properties,
    terms_of,
    told_of,
    ttl_ms_of,
)


class Scalar:
    """What numpy's numbers and arrays have."""

    def __init__(self, value):
        self._value = value

    def tolist(self):
        return self._value


class Text(str):
    __slots__ = ()


class Float(float):
    """As numpy's float64 is."""


def test_plain_properties_are_not_even_copied():
    properties = {"a": 1, "b": 2.5, "c": "text", "d": None, "e": True}
    assert plain_properties(properties) is properties


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, [2, {"b": None}])}, {"a": [1, [2, {"b": None}]]}),
        ({"a": Scalar(3), "b": Scalar([1.5, 2])}, {"a": 3, "b": [1.5, 2]}),
        ({Text("a"): Text("b"), "c": Float(1.5)}, {"a": "b", "c": 1.5}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({"a": (1 << 64) - 1, "b": -(1 << 63)}, {"a": (1 << 64) - 1, "b": -(1 << 63)}),
    ],
)
def test_other_values_become_what_json_has(value, expected):
    found = plain_properties(value)
    assert found == expected
    assert all(type(name) is str for name in found)
    assert {type(one) for one in found.values()} <= {int, float, str, list, dict}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [("a", 1)],
        {1: "a"},
        {"a": float("inf")},
        {"a": [float("nan")]},
        {"a": Float("nan")},
        {"a": b"bytes"},
        {"a": {1, 2}},
        {"a": object()},
        {"a": {"b": {2: 3}}},
        {"a": [1 << 64]},
    ],
)
def test_what_json_has_not_is_refused(value):
    with pytest.raises(Refused):
        plain_properties(value)


def test_depth_is_bounded():
    value: object = 1
    for _ in range(limits.json_depth_max):
        value = [value]
    assert plain(value) == value
    with pytest.raises(Refused, match="deep"):
        plain([value])


def test_terms_say_what_was_asked_for():
    assert terms_of(None) is None
    assert terms_of(1.5).ttl_ms == 1_500
    assert terms_of(0).ttl_ms == 0
    assert terms_of(None, if_absent=True).condition == ABSENT
    assert terms_of(None, if_present=True).condition == PRESENT
    assert terms_of(None, if_match='"3.7.1"').condition == (3, 7 << 12 | 1)
    for wrong in ("soon", float("nan"), -1, None):
        with pytest.raises(Refused):
            ttl_ms_of(wrong)
    with pytest.raises(Refused):
        ttl_ms_of(0, least=1)


def test_events_say_what_they_are():
    event = event_of("home/lamp", {"on": True}, "id", "me", 5, None)
    assert event.public() == {
        "eventId": "id",
        "stream": "flux.native",
        "source": "me",
        "timestamp": 5,
        "payload": {"entity_id": "home/lamp", "properties": {"on": True}},
    }
    assert event.named_by_client
    assert isinstance(event_of("home/lamp", {}, "id", "me", 5, terms_of(1)), TermedEvent)
    assert deletion_of("home/lamp", "id", "me", 5).deletes
    told = told_of("home/lamp", ("a", 1), "id", "me", 5)
    assert told.terms is not None
    assert (told.properties, told.terms.told) == ({}, ["a", 1])
    with pytest.raises(Refused):
        told_of("home/lamp", None, "id", "me", 5)


def test_ids_of_events_are_short_texts():
    assert check_event_id("mine") == "mine"
    for wrong in ("", 7, "x" * (limits.event_id_chars_max + 1)):
        with pytest.raises(Refused):
            check_event_id(wrong)
