"""Batches: rows as events, their ids the same at every try, and words for rows that are none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.native.batch.outgoing import Batch, check_columns
from tests.unit.domain.strategies import json_objects, many


def table(properties, kind=None, ids=None):
    ids = ids or [f"a/{number}" for number in range(len(properties))]
    return pa.table({"entity_id": ids, "properties": pa.array(properties, kind)})


def events(*tables, job="nightly", task=4):
    """Return `(entity id, properties, event id)` of each row."""
    batch = Batch(job, task)
    return [
        (*pair, event_id)
        for rows in tables
        for pairs, ids in batch.events_of(rows)
        for pair, event_id in zip(pairs, ids, strict=True)
    ]


def ids_of(*tables, **label):
    return [event_id for _, _, event_id in events(*tables, **label)]


def properties_of(*tables):
    return [properties for _, properties, _ in events(*tables)]


def test_an_event_of_a_row():
    ((entity_id, properties, event_id),) = events(table(['{"n": 1}']))
    assert (entity_id, properties) == ("a/0", {"n": 1})
    assert event_id.startswith("nightly.4.")


def test_another_try_makes_the_same_ids_though_rows_come_in_another_order():
    rows = table(['{"n": 1, "m": 2}', '{"n": 2}', '{"n": 2}', "{}"], ids=["a", "a", "b", "b"])
    turned = table(["{}", '{"n": 2}', '{"m": 2, "n": 1}', '{"n": 2}'], ids=["b", "b", "a", "a"])
    first, again = ids_of(rows), ids_of(turned.slice(0, 1), turned.slice(1))
    assert len(set(first)) == 4
    assert set(again) == set(first)


def test_rows_that_say_the_same_are_events_of_their_own():
    rows = table(['{"n": 1}'] * 3, ids=["a"] * 3)
    assert len(set(ids_of(rows, rows))) == 6


def test_other_tasks_and_jobs_have_other_ids():
    rows = table(["{}"])
    assert len({ids_of(rows)[0], ids_of(rows, task=5)[0], ids_of(rows, job="weekly")[0]}) == 3


def test_ids_are_short_enough():
    (one,) = ids_of(table(["{}"]), job="j" * 64, task=10**9)
    assert len(one) <= limits.event_id_chars_max - 9


@many
@given(st.lists(json_objects, min_size=1, max_size=4))
def test_json_text_goes_as_it_stands(many_properties):
    rows = table([json.dumps(properties) for properties in many_properties])
    assert properties_of(rows) == many_properties


def test_a_struct_goes_without_its_nulls():
    rows = table([{"x": 1, "in": {"p": 1}}, {"y": [1, None], "in": {"q": float("nan")}}])
    assert properties_of(rows) == [{"x": 1, "in": {"p": 1}}, {"y": [1, None], "in": {}}]


def test_a_map_is_an_object():
    rows = table([[("x", 1), ("y", 2)]], pa.map_(pa.string(), pa.int64()))
    assert properties_of(rows) == [{"x": 1, "y": 2}]


def test_values_that_json_has_no_word_for_become_text():
    noon = datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert properties_of(table([{"at": noon, "sum": Decimal("1.50"), "in": [{"at": noon}]}])) == [
        {"at": "2030-01-31T12:00:00Z", "sum": "1.50", "in": [{"at": "2030-01-31T12:00:00Z"}]}
    ]


def test_a_large_table_comes_in_parts():
    count = limits.history_table_rows + 3
    parts = list(Batch("nightly", 4).events_of(table(["{}"] * count)))
    assert [len(pairs) for pairs, _ in parts] == [limits.history_table_rows, 3]
    assert len({event_id for _, ids in parts for event_id in ids}) == count


def test_a_table_without_rows_needs_no_columns():
    assert events(pa.table({})) == []


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["[1]"], "no JSON object"),
        (["{"], "no JSON object"),
        (['{"n": NaN}'], "no JSON object"),
        (pa.array([None], pa.string()), "properties are missing"),
        ([7], "properties are missing"),
    ],
)
def test_a_row_without_properties_is_named(cells, words):
    with pytest.raises(Refused, match=words) as refused:
        events(table(["{}"] * 5), table(cells))
    assert "row 5 of task 4" in refused.value.message


def test_a_row_that_may_not_be_published_is_named():
    refused = Batch("nightly", 4).at(100, Refused("not yours", 403, more={"index": 7}))
    assert (refused.status, refused.message) == (403, "row 107 of task 4 cannot be published: not yours")


def test_columns_that_are_missing_are_named():
    check_columns(["properties", "other", "entity_id"])
    with pytest.raises(Refused, match="missing: entity_id; there: n, properties"):
        check_columns(["n", "properties"])
    with pytest.raises(Refused, match="missing: entity_id, properties"):
        events(pa.table({"n": [1]}))
