"""The memory of an agent on a twin: LangGraph's own tests of it, and what they leave out."""

from __future__ import annotations

import pytest
from langgraph.checkpoint.base import ERROR, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.report import ProgressCallbacks

from flux_actors.errors import Unavailable
from flux_memory import FluxSaver

THREAD = {"configurable": {"thread_id": "ann", "checkpoint_ns": ""}}


@pytest.fixture
def saver(fx):
    return FluxSaver(fx, "memory")


async def test_it_passes_the_tests_of_langgraph(saver):
    @checkpointer_test(name="Flux on a twin")
    async def savers():
        yield saver

    report = await validate(savers, progress=ProgressCallbacks.quiet())
    failures = [line for result in report.results.values() for line in result.failures]
    assert failures == []
    assert report.passed_all_base()


def test_a_checkpoint_that_was_not_written_whole_is_not_there(fx, saver, monkeypatch):
    first = saver.put(THREAD, empty_checkpoint(), {"step": 0}, {})

    def away(*_):
        raise Unavailable("the log is away")

    lost = empty_checkpoint()
    monkeypatch.setattr(fx, "publish", away)
    with pytest.raises(Unavailable):
        saver.put(first, lost, {"step": 1}, {})
    assert saver.get_tuple(THREAD).config == first
    named = {"configurable": THREAD["configurable"] | {"checkpoint_id": lost["id"]}}
    assert saver.get_tuple(named) is None
    assert [one.config for one in saver.list(THREAD)] == [first]


def test_what_a_task_has_written_stays_when_it_runs_again_but_its_error_is_told_anew(saver):
    config = saver.put(THREAD, empty_checkpoint(), {"step": 0}, {})
    saver.put_writes(config, [("channel", "first"), (ERROR, "one")], "task")
    saver.put_writes(config, [("channel", "second"), (ERROR, "another")], "task")
    pending = saver.get_tuple(config).pending_writes
    assert sorted(pending) == [("task", ERROR, "another"), ("task", "channel", "first")]


def test_versions_ascend_and_branches_have_none_in_common(saver):
    first = saver.get_next_version(None, None)
    one, other = (saver.get_next_version(first, None) for _ in range(2))
    assert first < min(one, other)
    assert one != other
    assert max(one, other) < saver.get_next_version(saver.get_next_version(one, None), None)


def test_of_a_thread_that_was_deleted_nothing_is_left(fx, saver):
    config = saver.put(THREAD, {**empty_checkpoint(), "channel_values": {"a": 1}}, {"step": 0}, {"a": "1.0"})
    saver.put_writes(config, [("a", 2)], "task")
    other = {"configurable": {"thread_id": "ann2", "checkpoint_ns": ""}}
    saver.put(other, empty_checkpoint(), {"step": 0}, {})
    saver.delete_thread("ann")
    with fx.live("memory/") as left:
        assert {one.split("/")[1] for one in left} == {"ann2"}
