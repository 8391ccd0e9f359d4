"""Options: read as they came, or refused with the name of the one that is wrong."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.domain.position import parse
from flux_actors.errors import Refused
from flux_api.socket_requests import SocketRequest
from flux_api.watching.options import PLAIN, Options, options_of


def read(**fields):
    return options_of(SocketRequest(**fields), lambda text: parse(text, 4))


def test_nothing_asked_for_is_plain():
    nothing = {"initial": False, "where": None, "fields": None, "format": None, "batch": False}
    assert read() == read(**nothing) == PLAIN


def test_all_of_them_are_read():
    asked = {"initial": True, "from_position": "1.2.3", "where": "v > 1", "batch": True, "live": True}
    options = read(**asked, fields=["a", "b", "a"], format="delta")
    assert options == Options(
        initial=True,
        places={1: 2 << limits.offset_bits | 3},
        where="v > 1",
        fields=("a", "b"),
        delta=True,
        batch=True,
        live=True,
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"initial": 1}, "initial must be true or false"),
        ({"batch": "yes"}, "batch must be true or false"),
        ({"from_position": 5}, "from must be the text of a position"),
        ({"from_position": "5"}, "no position"),
        ({"from_position": "9.1.1"}, "no position"),
        ({"where": 5}, "where must be a text"),
        ({"where": "v >"}, "where ends too early"),
        ({"where": ""}, "where ends too early"),
        ({"fields": "a"}, "fields must be a list"),
        ({"fields": []}, "fields must be a list"),
        ({"fields": ["a", 1]}, "fields must be a list"),
        ({"fields": ["a"] * 101}, "at most 100"),
        ({"format": "xml"}, 'format may be "delta"'),
        ({"format": ["delta"]}, 'format may be "delta"'),
    ],
    ids=str,
)
def test_what_is_no_option_is_refused_by_its_name(fields, text):
    with pytest.raises(Refused, match=text):
        read(**fields)
