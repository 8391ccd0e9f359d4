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
from flux_actors.native.batches import Batch, Label, check_columns
from tests.unit.domain.strategies import json_objects, many

LABEL = Label("nightly", 4, "me", "batch")


def table(properties, kind=None, ids=None):
    ids = ids or [f"a/{number}" for number in range(len(properties))]
    return pa.table({"entity_id": ids, "properties": pa.array(properties, kind)})


def events(*tables, label=LABEL):
    batch = Batch(label)
    return [event for rows in tables for part in batch.events_of(rows, 123) for event in part]


def ids_of(*tables, label=LABEL):
    return [event.event_id for event in events(*tables, label=label)]


def test_an_event_of_a_row():
    (event,) = events(table(['{"n": 1}']))
    assert (event.entity_id, event.properties, event.source) == ("a/0", {"n": 1}, "me")
    assert (event.stream, event.timestamp_ms, event.named_by_client) == ("batch", 123, True)


def test_another_try_makes_the_same_ids_though_rows_come_in_another_order():
    rows = table(['{"n": 1, "m": 2}', '{"n": 2}', '{"n": 2}', "{}"], ids=["a", "a", "b", "b"])
    turned = table(["{}", '{"n": 2}', '{"m": 2, "n": 1}', '{"n": 2}'], ids=["b", "b", "a", "a"])
    first, again = ids_of(rows), ids_of(turned.slice(0, 1), turned.slice(1))
    assert len(set(first)) == 4
    assert set(again) == set(first)
    assert all(one.startswith("nightly.4.") for one in first)


def test_rows_that_say_the_same_are_events_of_their_own():
    rows = table(['{"n": 1}'] * 3, ids=["a"] * 3)
    assert len(set(ids_of(rows, rows))) == 6


def test_other_tasks_and_jobs_have_other_ids():
    rows = table(["{}"])
    labels = [LABEL, LABEL._replace(task=5), LABEL._replace(job="weekly")]
    assert len({ids_of(rows, label=label)[0] for label in labels}) == 3


def test_ids_are_short_enough():
    rows = table(["{}"])
    (one,) = ids_of(rows, label=LABEL._replace(job="j" * 64, task=10**9))
    assert len(one) <= limits.event_id_chars_max - 9


@many
@given(st.lists(json_objects, min_size=1, max_size=4))
def test_json_text_goes_as_it_stands(many_properties):
    found = events(table([json.dumps(properties) for properties in many_properties]))
    assert [event.properties for event in found] == many_properties


def test_a_struct_goes_without_its_nulls():
    rows = table([{"x": 1, "in": {"p": 1}}, {"y": [1, None], "in": {"q": float("nan")}}])
    assert [event.properties for event in events(rows)] == [
        {"x": 1, "in": {"p": 1}},
        {"y": [1, None], "in": {}},
    ]


def test_a_map_is_an_object():
    (event,) = events(table([[("x", 1), ("y", 2)]], pa.map_(pa.string(), pa.int64())))
    assert event.properties == {"x": 1, "y": 2}


def test_values_that_json_has_no_word_for_become_text():
    noon = datetime(2030, 1, 31, 12, tzinfo=UTC)
    (event,) = events(table([{"at": noon, "sum": Decimal("1.50"), "in": [{"at": noon}]}]))
    assert event.properties == {
        "at": "2030-01-31T12:00:00Z",
        "sum": "1.50",
        "in": [{"at": "2030-01-31T12:00:00Z"}],
    }


def test_a_large_table_comes_in_parts():
    count = limits.history_table_rows + 3
    parts = list(Batch(LABEL).events_of(table(["{}"] * count), 1))
    assert [len(part) for part in parts] == [limits.history_table_rows, 3]
    assert len({event.event_id for part in parts for event in part}) == count


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (table(["[1]"]), "no JSON object"),
        (table(["{"]), "no JSON object"),
        (table(['{"n": NaN}']), "no JSON object"),
        (table([{"n": float("inf")}]), "no infinity"),
        (table([None], pa.string()), "properties are missing"),
        (table([7]), "properties are missing"),
        (table(["{}"], ids=pa.array([None], pa.string())), "entity_id must be a string"),
        (table(["{}"], ids=[""]), "1 to 512 bytes"),
        (table(["{}"], ids=["flux-core/x"]), "belong to the server"),
    ],
)
def test_a_row_that_is_no_event_is_named(rows, words):
    with pytest.raises(Refused, match=words) as refused:
        events(table(["{}"] * 5), rows)
    assert "row 5 of task 4" in refused.value.message


def test_columns_that_are_missing_are_named():
    check_columns(["properties", "other", "entity_id"])
    with pytest.raises(Refused, match="missing: entity_id; there: n, properties"):
        check_columns(["n", "properties"])
    with pytest.raises(Refused, match="missing: entity_id, properties"):
        events(pa.table({"n": [1]}))
