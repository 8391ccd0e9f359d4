from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.clock import iso_of, us_of
from flux_actors.errors import Refused
from tests.unit.domain.strategies import many, value_or_400

NOON_US = 1_769_860_800_000_000
LAST_US = (datetime.max.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400_000_000


@given(st.integers(0, LAST_US))
@many
def test_clock_is_utc_text_with_up_to_six_digits_and_reads_back(clock_us: int) -> None:
    text = iso_of(clock_us)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00", text)
    assert us_of(text, "at") == clock_us


@given(st.integers(-LAST_US // 40, LAST_US))
@many
def test_clock_is_the_text_that_datetime_gives(clock_us: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=clock_us)
    assert iso_of(clock_us) == moment.isoformat()


def test_microseconds_are_exact() -> None:
    assert iso_of(NOON_US + 123) == "2026-01-31T12:00:00.000123+00:00"
    assert iso_of(0) == "1970-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00z",
        "2026-01-31T12:00:00+00:00",
        "2026-01-31T12:00:00-00:00",
        "2026-01-31T13:30:00+01:30",
        "2026-01-31T13:30:00 01:30",
        "2026-01-31T04:00:00-08:00",
        "2026-01-31T12:00:00.0Z",
        "2026-01-31T12:00:00.000000Z",
        "2026-01-31T12:00:00.000000999Z",
    ],
)
def test_rfc_3339_text_is_read(text: str) -> None:
    assert us_of(text, "since") == NOON_US


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "1769860800", "2026-01-31", "12:00:00Z", "T", "2026-01-31T12:00:00", "2026-01-31T"),
        *("2026-02-30T12:00:00Z", "2026-01-31T25:00:00Z", "2026-13-01T00:00:00Z", "2026-01-31T12:61:00Z"),
        *("2026-01-31T12:00:00+25:00", "2026-01-31T12:00:00Zx", "\u0662026-01-31T12:00:00Z", "x" * 10_000),
        "20260131T120000Z",
        "2026-W05-6T12:00:00Z",
        "2026-01-31T12Z",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00+0000",
        "2026-01-31T12:00:00+00",
        "2026-01-31T12:00:00+00:00:30",
    ],
)
def test_text_that_is_no_rfc_3339_time_is_a_400_that_names_the_parameter(text: str) -> None:
    with pytest.raises(Refused, match=r"^since must be an RFC 3339 time") as caught:
        us_of(text, "since")
    assert caught.value.status == 400
    assert len(caught.value.message) < 200


@given(st.text(st.sampled_from("0129-T:Z+. W\u0662x"), max_size=26))
@many
def test_any_text_is_a_time_or_a_400(text: str) -> None:
    clock_us = value_or_400(lambda: us_of(text, "until"))
    assert clock_us is None or isinstance(clock_us, int)
