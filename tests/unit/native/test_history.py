"""FluxHistory on a log in memory: what its tasks read together, and where the next job goes on."""

from __future__ import annotations

import pickle

import pytest

from flux_actors import limits
from flux_actors.domain.position import pack, text_of_all
from flux_actors.errors import Refused
from flux_actors.log.memory import MemoryLog
from flux_actors.native import history
from flux_actors.native.batch.rows import SCHEMA, Rows
from flux_actors.native.batch.sight import Sight
from flux_actors.native.batch.spans import Span
from flux_actors.native.history import FluxHistory, size_bytes, tables_in
from flux_actors.tenancy.principal import ANYONE
from flux_actors.tenancy.registry import Registry
from tests.unit.native.batch.writing import event, write
from tests.unit.native.twin import RULE, holder, introduction

BLOCKS = 3 * limits.history_piece_blocks_min
TOKEN = "flux_id_a-secret"


@pytest.fixture(autouse=True)
def _here(twin, monkeypatch):
    monkeypatch.setattr(history, "here", lambda: twin)


def fill(twin, ids, blocks=BLOCKS):
    async def fill_it():
        for number in range(blocks):
            for entity_id in ids:
                events = [event(entity_id, {"n": number}, event_id=f"{entity_id} {number}")]
                await write(twin.log, events, number, RULE.of_entity(entity_id))

    twin.thread.run(fill_it())


def read(source, parallelism=4):
    return [
        row for task in source.get_read_tasks(parallelism) for table in task() for row in table.to_pylist()
    ]


def test_its_tasks_read_everything_once(twin):
    ids = [f"wide/{n}" for n in range(6)]
    fill(twin, ids)
    source = FluxHistory("wide/")
    tasks = source.get_read_tasks(4)
    assert len(tasks) >= 4
    rows = read(source)
    assert sorted(row["event_id"] for row in rows) == sorted(
        f"{one} {n}" for one in ids for n in range(BLOCKS)
    )
    assert {row["partition"] for row in rows} == set(RULE.all())
    whole = sum(twin.thread.run(twin.log.usage(partition)).size_bytes for partition in RULE.all())
    assert sum(task.metadata.size_bytes for task in tasks) == pytest.approx(whole, rel=0.01)
    assert source.estimate_inmemory_data_size() == whole


def test_a_namespace_is_read_from_its_partition_alone(twin):
    fill(twin, ["home/lamp"], 3)
    source = FluxHistory("home/")
    assert {row["partition"] for row in read(source)} == {RULE.of_entity("home/lamp")}


def test_a_task_pickles_and_shows_no_secret(twin):
    fill(twin, ["home/lamp"], 3)
    (task,) = FluxHistory("home/", token=TOKEN).get_read_tasks(1)
    assert TOKEN not in repr(task.read_fn)
    again = pickle.loads(pickle.dumps(task.read_fn))  # noqa: S301 - our own
    assert [row["event_id"] for table in again() for row in table.to_pylist()] == [
        f"home/lamp {number}" for number in range(3)
    ]


def test_a_job_goes_on_where_another_ended(twin):
    fill(twin, ["wide/1", "wide/2", "wide/3"], 4)
    first = FluxHistory("wide/")
    before = read(first)
    fill(twin, ["wide/1", "wide/2"], 2)
    assert read(first) == before  # what it reads was settled
    after = read(FluxHistory("wide/", since=first.through))
    assert [(row["entity_id"]) for row in after].count("wide/1") == 2
    assert len(after) == 4
    assert not {row["position"] for row in before} & {row["position"] for row in after}


def test_through_is_in_front_of_a_time(twin):
    fill(twin, ["home/lamp"], 5)
    source = FluxHistory("home/", until="1970-01-01T00:00:00.000003Z")
    partition = RULE.of_entity("home/lamp")
    assert source.through == text_of_all({partition: pack(4, 0) - 1})
    assert len(read(source)) == 3


def test_a_log_without_events_has_the_columns_all_the_same(twin):
    (task,) = FluxHistory().get_read_tasks(8)
    assert [table.schema for table in task()] == [SCHEMA]
    assert task.schema == SCHEMA


def test_a_row_limit_ends_a_task(twin):
    fill(twin, ["home/lamp"])
    (task, *_) = FluxHistory("home/").get_read_tasks(1, per_task_row_limit=2)
    assert sum(table.num_rows for table in task()) == 2


def test_arguments_are_looked_at_at_once():
    with pytest.raises(Refused, match="since must be"):
        FluxHistory("home/", since="yesterday")


async def test_it_works_where_an_event_loop_runs(twin):
    fill(twin, ["home/lamp"], 1)
    assert len(read(FluxHistory("home/"))) == 1


def test_private_namespaces_of_others_are_left_out(twin, monkeypatch):
    fill(twin, ["vault/door", "open/door"], 1)
    registry = Registry()
    registry.seal("vault")

    async def read_tenants(client, principal):
        assert principal.namespace == "open"
        return registry

    monkeypatch.setattr(history, "read_tenants", read_tenants)
    twin.introduction = introduction(holder("open"))
    assert [row["entity_id"] for row in read(FluxHistory())] == ["open/door"]


async def test_a_long_span_comes_table_by_table():
    log = MemoryLog(1)
    for _ in range(3):
        await write(log, [event("a/1")] * (limits.history_table_rows // 2))
    span = Span(0, pack(1, 0), pack(4, 0))
    tables = [one async for one in tables_in(log, span, Rows(span, "", Sight(ANYONE, Registry(), 0)))]
    half = limits.history_table_rows // 2
    assert [table.num_rows for table in tables] == [2 * half, half]


async def test_the_size_of_a_part_of_a_log():
    log = MemoryLog(1)
    for _ in range(4):
        await write(log, [event("a/1")])
    usage = await log.usage(0)
    assert await size_bytes(log, Span(0, pack(2, 0), pack(4, 0))) == usage.size_bytes // 2
    assert await size_bytes(MemoryLog(1), Span(0, pack(1, 0), pack(1, 0))) == 0
