"""FluxSink: what a task publishes, under ids that do not change, and what it says when it cannot."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa
import pytest
from ray.data.datasource.datasink import WriteResult

from flux_actors import limits
from flux_actors.domain.position import pack
from flux_actors.errors import NotAllDurable, Refused
from flux_actors.log.block import decode_block
from flux_actors.native import sink
from flux_actors.native.sink import FluxSink, Written, publish
from tests.unit.native.twin import RULE, holder, introduction


@pytest.fixture(autouse=True)
def _here(twin, monkeypatch):
    monkeypatch.setattr(sink, "here", lambda: twin)


def table(*ids):
    return pa.table({"entity_id": list(ids), "properties": [f'{{"n":{n}}}' for n in range(len(ids))]})


def run(blocks, **options):
    return FluxSink(**options).write(blocks, SimpleNamespace(task_idx=4))


def events_in(twin):
    async def read():
        found = []
        for partition in RULE.all():
            for sequence in range(1, (await twin.log.bounds(partition)).last + 1):
                found += decode_block(await twin.log.block(partition, sequence)).events
                assert {RULE.of_entity(event.entity_id) for event in found[-1:]} == {partition}
        return found

    return twin.thread.run(read())


def test_rows_become_events_of_their_partitions(twin):
    ids = [f"wide/{n}" for n in range(20)]
    blocks = [table(*ids[:12]), pa.table({}), table(*ids[12:]).to_pandas()]
    written = run(blocks, source="me")
    events = events_in(twin)
    assert sorted(event.entity_id for event in events) == sorted(ids)
    assert len({event.event_id for event in events}) == 20
    assert all(event.named_by_client and event.source == "me" for event in events)
    late = [RULE.of_entity(one) for one in ids[12:]]
    assert written == Written(20, {p: pack(2, late.count(p) - 1) for p in RULE.all()})


def test_another_try_has_the_same_ids_and_other_tasks_and_jobs_have_others(twin):
    one, other = FluxSink(), FluxSink()
    for job, task in ((one, 4), (one, 4), (one, 5), (other, 4)):
        job.write([table("home/a", "home/b")], SimpleNamespace(task_idx=task))
    ids = [event.event_id for event in events_in(twin)]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 6
    assert all(event_id.startswith(f"{one.job}.") for event_id in ids[:6])


def test_a_row_that_may_not_be_written_is_named(twin):
    twin.introduction = introduction(holder("home"))
    with pytest.raises(Refused, match=r"row 3 of task 4 .* the namespace 'home'") as refused:
        run([table("home/a", "home/b"), table("home/c", "other/d")])
    assert refused.value.status == 403
    assert [event.entity_id for event in events_in(twin)] == ["home/a", "home/b"]


def test_a_sink_may_be_narrowed(twin):
    with pytest.raises(Refused, match="row 1 of task 4"):
        run([table("home/a", "other/b")], namespace="home")


def test_a_task_without_rows_needs_no_log(twin):
    assert run([pa.table({}), table()]) == Written()
    assert twin.links == {}


class Losing:
    """A user of Flux whose every second event is lost on the way, `tries` times."""

    def __init__(self, tries):
        self.tries = tries
        self.published = []

    async def publish_many(self, pairs, ids, *, once):
        assert once
        self.tries -= 1
        if self.tries < 0:
            self.published += zip(pairs, ids, strict=True)
            return
        lost = list(range(0, len(pairs), 2))
        self.published += [(pairs[i], ids[i]) for i in range(1, len(pairs), 2)]
        raise NotAllDurable("lost", lost, [ids[i] for i in lost])


async def test_what_was_lost_is_published_again_under_the_same_ids(monkeypatch):
    monkeypatch.setattr(sink, "_RETRY_S", 0.0)
    events = [((f"home/{n}", {"n": n}), f"id {n}") for n in range(7)]
    user = Losing(2)
    await publish(user, *zip(*events, strict=True))
    assert sorted(user.published, key=str) == events


async def test_a_log_that_loses_for_too_long_fails_the_task(monkeypatch):
    monkeypatch.setattr(limits, "history_patience_s", 0.0)
    with pytest.raises(NotAllDurable):
        await publish(Losing(99), [("home/a", {})], ["id"])


def test_a_sink_writes_one_dataset():
    one = FluxSink()
    one.on_write_start(table("home/a").schema)
    with pytest.raises(Refused, match="make another"):
        one.on_write_start(table("home/a").schema)


def test_columns_are_looked_at_before_anything_is_written():
    with pytest.raises(Refused, match="missing: properties"):
        FluxSink().on_write_start(pa.schema([pa.field("entity_id", pa.string())]))
    FluxSink().on_write_start(None)


def test_it_knows_in_the_end_what_its_tasks_have_written():
    one = FluxSink()
    assert (one.written, one.position) == (Written(), "")
    tasks = [Written(3, {0: pack(1, 2)}), Written(2, {0: pack(1, 0), 1: pack(9, 0)}), Written()]
    one.on_write_complete(WriteResult(5, 9, tasks))
    assert (one.written.events, one.position) == (5, "0.1.2~1.9.0")
