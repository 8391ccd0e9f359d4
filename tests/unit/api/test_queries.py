"""Queries: what the parameters of a list ask for, and what is refused in words."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.entity_id import check_entity_id
from flux_actors.errors import Refused
from flux_actors.shard.reads import EVERYTHING, Query
from flux_api.queries import Asked, next_link, read_query


def is_id(text: str) -> bool:
    try:
        check_entity_id(text)
    except Refused:
        return False
    return True


def test_without_parameters_everything_is_asked_for() -> None:
    assert read_query({"namespace": "home", "where": ""}) == Asked(EVERYTHING)


def test_all_of_them() -> None:
    asked = read_query({"where": "a > 1", "fields": "a,b c,a", "limit": "10000"})
    assert asked == Asked(Query("a > 1", ("a", "b c")), 10_000)


@given(st.text(min_size=1, max_size=40).filter(is_id), st.integers(1, 10_000))
def test_a_link_leads_behind_its_entity_and_keeps_what_was_asked(entity_id: str, limit: int) -> None:
    parameters = {"namespace": "é", "where": 'a = "&;"', "limit": str(limit), "cursor": "old"}
    link = next_link("/api/state/entities", parameters, entity_id)
    found = re.fullmatch(r'<([\x21-\x7e]+)>; rel="next"', link)
    assert found is not None
    followed = dict(parse_qsl(urlsplit(found[1]).query))
    assert {**followed, "cursor": "old"} == parameters
    assert read_query(followed) == Asked(Query('a = "&;"'), limit, entity_id)


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "1.5", "ten", "", "\u0661", "9" * 5_000])
def test_a_limit_is_a_whole_number_in_its_range(limit: str) -> None:
    with pytest.raises(Refused, match="limit must be a whole number from 1 to 10000"):
        read_query({"limit": limit})


@pytest.mark.parametrize("cursor", ["", "!", "é", "_w", "AAAA", "a" * 10_000])
def test_a_cursor_is_one_that_was_given(cursor: str) -> None:
    with pytest.raises(Refused, match="cursor must be one"):
        read_query({"limit": "1", "cursor": cursor})


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"cursor": "aG9tZS9h"}, "cursor needs limit"),
        ({"fields": ""}, "fields must be names"),
        ({"fields": "a,,b"}, "fields must be names"),
        ({"fields": ",".join(map(str, range(101)))}, "at most 100"),
        ({"where": "a >"}, "where ends too early"),
    ],
    ids=str,
)
def test_the_others_are_refused_in_words(parameters: dict[str, str], text: str) -> None:
    with pytest.raises(Refused, match=text):
        read_query(parameters)
