from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_actors.domain.event import Event
from flux_actors.domain.json_text import check_depth, check_numbers, parse_json
from flux_actors.errors import Refused
from flux_actors.log.block import decode_block, encode_block, encode_event
from tests.unit.domain.strategies import floats, integers, json_values, many, value_or_400


@given(json_values)
@many
def test_json_reads_back_equal(value: Any) -> None:
    for ascii_only in (True, False):
        assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(integers | floats)
@example((1 << 64) - 1)
@example(-(1 << 63))
@example(0.1 + 0.2)
@example(5e-324)
@example(1.7976931348623157e308)
def test_numbers_keep_their_value_and_their_kind_through_the_log(number: float) -> None:
    value = parse_json(repr(number).encode())
    event = Event("a", {"n": value}, "i", False, "s", "t", 1)
    (kept,) = decode_block(encode_block(1, 1, 1, [encode_event(event)])).events
    assert isinstance(kept, Event)
    assert kept.properties == {"n": number}
    assert type(kept.properties["n"]) is type(number)


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "Infinity", "-Infinity", "nan", '{"n":NaN}', "[-Infinity]", "1e400", "-1e400"),
        *("", " ", "{", '{"a":1,}', "[1] x", "'a'", "01", "1.", "+1", "tru", '"\\x"', '"\t"', "\ufeff{}"),
        *('"\\ud800"', '"\\udc00"', '"\\ud800\\ud800"', '"\\ud800x"'),
    ],
)
def test_text_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="valid JSON") as caught:
        parse_json(text.encode())
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"\xff", b'"\xff"', b'"\xed\xa0\x80"', b'{"\x80":1}', b"\0"])
def test_bytes_that_are_no_utf_8_are_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        parse_json(body)


@given(
    st.binary(max_size=30) | st.text(st.sampled_from('{}[]":,\\u0d8eE+-.1tn'), max_size=20).map(str.encode)
)
@many
def test_any_bytes_are_a_value_or_a_400(body: bytes) -> None:
    value = value_or_400(lambda: parse_json(bytearray(body)))
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def test_last_of_duplicate_keys_wins() -> None:
    assert parse_json(b'{"a":1,"b":2,"a":{"c":3},"a":null}') == {"a": None, "b": 2}


def test_a_million_brackets_are_refused_and_not_a_crash() -> None:
    for text in (b"[" * 1_000_000, b'{"a":' * 200_000, b"[" * 5_000 + b"]" * 5_000):
        with pytest.raises(Refused):
            parse_json(text)


def nested(levels: int, kind: str) -> Any:
    value: Any = [] if kind == "list" else {}
    for _ in range(levels - 1):
        value = [value, 1] if kind == "list" else {"a": 1, "b": value}
    return value


@pytest.mark.parametrize("kind", ["list", "object"])
def test_json_may_nest_128_levels_and_no_more(kind: str) -> None:
    deepest = nested(128, kind)
    check_depth(deepest)
    assert parse_json(json.dumps(deepest).encode()) == deepest
    for levels in (129, 200):
        too_deep = nested(levels, kind)
        with pytest.raises(Refused, match="128 levels"):
            check_depth(too_deep)
        with pytest.raises(Refused, match="128 levels"):
            parse_json(json.dumps(too_deep).encode())


def test_brackets_inside_texts_and_in_breadth_are_no_depth() -> None:
    assert parse_json(json.dumps(["[" * 500, "{" * 500]).encode()) == ["[" * 500, "{" * 500]
    assert parse_json(json.dumps([[]] * 500).encode()) == [[]] * 500


@pytest.mark.parametrize("number", [1 << 64, -(1 << 63) - 1, 10**30, -(10**30)])
@pytest.mark.parametrize("shape", ["{}", "[{}]", '{{"a":[1,{{"b":{}}}]}}'])
def test_integer_beyond_64_bits_is_refused_and_never_rounded(number: int, shape: str) -> None:
    value = parse_json(shape.format(number).encode())
    with pytest.raises(Refused, match="64 bits"):
        check_numbers(value)
    with pytest.raises(OverflowError):
        encode_event(Event("a", {"n": value}, "i", False, "s", "t", 1))


@given(json_values)
@many
def test_numbers_that_a_log_can_hold_pass(value: Any) -> None:
    check_numbers(value)


def test_floats_beyond_the_integers_pass() -> None:
    check_numbers([1e300, -1e300, True, math.pi])


def test_thousands_of_digits_are_refused() -> None:
    for digits in (b"1" * 10_000, b"[1" + b"0" * 500 + b".0]", b"1e99999"):
        with pytest.raises(Refused):
            check_numbers(parse_json(digits))
