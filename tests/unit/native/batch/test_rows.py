"""Rows: what a row says of an event, and which events have one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.event import DELETED, with_terms
from flux_actors.domain.position import pack
from flux_actors.domain.terms import ACQUIRE, BEHAVIOUR_SOURCE, LEASE_SOURCE, Claim, Terms
from flux_actors.log.block import Block, Poison
from flux_actors.native.batch.log_reading import ReadBlock
from flux_actors.native.batch.rows import SCHEMA, Rows
from flux_actors.native.batch.sight import Sight
from flux_actors.native.batch.spans import Span
from flux_actors.tenancy.namespace import Visibility, register
from flux_actors.tenancy.principal import ANYONE, NOBODY
from flux_actors.tenancy.registry import Registry
from tests.unit.domain.strategies import json_objects, many
from tests.unit.native.batch.writing import event

ALL = Sight(ANYONE, Registry(), 2)
SPAN = Span(2, pack(1, 0), pack(100, 0))


def rows_of(*events, sequence=3, clock_us=1_000_001, span=SPAN, prefix="", sight=ALL):
    rows = Rows(span, prefix, sight)
    rows.add(ReadBlock(sequence, 500, Block(1, 1, clock_us, list(events))))
    return rows.table().to_pylist()


def test_a_row_says_what_the_log_has():
    one = event(
        "a/1", {"n": 1, "deep": {"x": None}}, event_id="id", source="me", stream="s", timestamp_ms=1 << 63
    )
    assert rows_of(Poison("bad"), one) == [
        {
            "position": "2.3.1",
            "partition": 2,
            "entity_id": "a/1",
            "properties": '{"n":1,"deep":{"x":null}}',
            "event_id": "id",
            "source": "me",
            "stream": "s",
            "timestamp_ms": 1 << 63,
            "clock": datetime(1970, 1, 1, 0, 0, 1, 1, UTC),
        }
    ]


@many
@given(st.lists(st.none() | json_objects, max_size=4))
def test_properties_are_those_that_were_published(many_properties):
    rows = rows_of(*(event("a/1", properties) for properties in many_properties))
    told = [None if row["properties"] is None else json.loads(row["properties"]) for row in rows]
    assert told == [properties or {} for properties in many_properties]


def test_an_event_that_deletes_has_no_properties_and_a_claim_has_its_effect():
    claim = with_terms(event("a/2", {}), Terms(claim=Claim(ACQUIRE, "me", 1_000)))
    deletion, claimed = rows_of(event("a/1", {DELETED: True}), claim)
    assert deletion["properties"] is None
    assert json.loads(claimed["properties"])["claim"]["holder"] == "me"


def test_only_what_a_prefix_asks_for():
    events = [event("a/1"), event("a"), event("b/1"), event(None), event("a/2")]
    assert [row["entity_id"] for row in rows_of(*events, prefix="a/")] == ["a/1", "a/2"]
    assert [row["entity_id"] for row in rows_of(*events)] == ["a/1", "a", "b/1", None, "a/2"]


def test_what_the_server_notes_for_itself_is_no_row():
    noted, ended = event(None, source=BEHAVIOUR_SOURCE), event("a/1", source=LEASE_SOURCE)
    assert [row["source"] for row in rows_of(noted, ended)] == [LEASE_SOURCE]


def test_only_what_is_within_the_span():
    span = Span(2, pack(3, 1), pack(3, 3))
    rows = rows_of(*(event("a/1", {"n": n}) for n in range(5)), span=span)
    assert [row["position"] for row in rows] == ["2.3.1", "2.3.2"]


def test_only_what_may_be_seen():
    registry = Registry()
    registry.apply(register("vault", Visibility.PRIVATE, 1)[0])
    rows = rows_of(event("vault/1"), event("a/1"), sight=Sight(NOBODY, registry, 2))
    assert [row["entity_id"] for row in rows] == ["a/1"]


def test_a_table_without_rows_has_the_columns():
    assert Rows(SPAN, "", ALL).table().schema == SCHEMA
    assert isinstance(Rows(SPAN, "", ALL).table(), pa.Table)


def test_a_table_begins_anew():
    rows = Rows(SPAN, "", ALL)
    for sequence in (1, 2):
        rows.add(ReadBlock(sequence, 9, Block(1, 1, 1, [event("a/1"), event("a/2")])))
        assert (len(rows), rows.table().num_rows, len(rows)) == (2, 2, 0)


@pytest.mark.parametrize(
    ("events", "size_bytes", "full"),
    [
        (limits.history_table_rows, 1, True),
        (limits.history_table_rows - 1, 1, False),
        (1, limits.history_read_bytes, True),
        (0, limits.history_read_bytes, False),
    ],
)
def test_it_is_full_by_rows_or_by_bytes(events, size_bytes, full):
    rows = Rows(SPAN, "a/", ALL)
    rows.add(ReadBlock(1, size_bytes, Block(1, 1, 1, [event("a/1")] * events + [event("b/1")])))
    assert rows.is_full is full
    rows.table()
    assert not rows.is_full
