"""Many entities in one answer: from the view alone, or not at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.entity import render
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Refused
from flux_api.many import body_of, entities_body
from flux_api.view import LiveView
from tests.unit.api.standing import FakeCalls, readings, row

ROWS = {name: row(name, {"of": name, "ü": [1, None]}) for name in ("n/a", "n/b", "n/c")}
GONE = "n/gone"


async def a_view() -> LiveView:
    """A view that keeps three entities and the absence of a fourth."""
    calls = FakeCalls({"get": readings(1, *ROWS.values())})
    view = LiveView(Partitioning(1, frozenset()), calls, lambda _: 1)
    await view.get_many([*ROWS, GONE])
    return view


@given(st.lists(st.sampled_from([*ROWS, GONE])))
async def test_it_is_what_exists_and_what_does_not_in_the_order_asked_repeats_included(ids):
    body = entities_body(await a_view(), ids)
    assert body is not None
    found = b",".join(render(ROWS[i]) for i in ids if i != GONE)
    missing = json.dumps([i for i in ids if i == GONE], separators=(",", ":")).encode()
    assert body == b'{"entities":[' + found + b'],"missing":' + missing + b"}"


@given(st.lists(st.sampled_from([*ROWS, GONE])))
async def test_it_is_the_same_as_by_the_way_that_fetches(ids):
    view = await a_view()
    assert entities_body(view, ids) == body_of(await view.get_many(ids))


@pytest.mark.parametrize("odd", ["n/unknown", "", 5, None, True, 1.5, [], {}, [["n/a"]], "N/A"])
@pytest.mark.parametrize("before", [[], ["n/a", GONE]])
async def test_an_id_that_the_view_does_not_know_leaves_all_to_the_way_that_checks(odd, before):
    assert entities_body(await a_view(), [*before, odd]) is None


async def test_too_many_are_left_to_the_way_that_refuses(monkeypatch):
    monkeypatch.setattr(limits, "get_many_ids_max", 2)
    view = await a_view()
    assert entities_body(view, ["n/a"] * 3) is None
    assert entities_body(view, ["n/a"] * 2) is not None


async def test_missing_ids_are_written_as_json_writes_them():
    view = await a_view()
    (odd,) = await view.get_many(['n/"\\ü\u2028'])
    assert json.loads(body_of([odd])) == {"entities": [], "missing": ['n/"\\ü\u2028']}


async def test_an_answer_is_bounded_however_often_an_id_is_named(monkeypatch):
    view = await a_view()
    size = len(body_of([view.kept("n/a")]))
    monkeypatch.setattr(limits, "get_many_bytes_max", 3 * size)
    assert entities_body(view, ["n/a"] * 3) is not None
    with pytest.raises(Refused, match="ask for fewer") as refused:
        entities_body(view, ["n/a"] * 9)
    assert refused.value.status == 400
