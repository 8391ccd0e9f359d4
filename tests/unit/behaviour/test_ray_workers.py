"""What a shard sees of a worker from outside; that Ray starts and ends them is shown on a real Flux."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flux_actors.behaviour import ray_workers
from flux_actors.behaviour.ports import NOBODY, WorkerLost
from flux_actors.behaviour.progress import Progress
from flux_actors.behaviour.ray_workers import _Watch, _Worker, actor_name
from flux_actors.behaviour.wire import LOST, TOO_LARGE, TOO_LONG
from flux_actors.behaviour.worker import WorkerFacts
from flux_actors.domain.acting.catalogue import Bounds, Version

NODE = "node"


@pytest.fixture
def progress() -> Iterator[Progress]:
    """The worker's side: it is at item 2 of run 4 of call 9."""
    progress = Progress.make()
    progress.call = 9
    progress(4, 2)
    yield progress
    progress.unlink()


def worker_of(progress: Progress, node: str = NODE) -> _Worker:
    return _Worker(None, WorkerFacts(os.getpid(), node, str(progress.path)), NODE)


def version_of(**bounds: float) -> Version:
    return Version(1, "digest", ["a/*"], ["on_change"], bounds=Bounds(**bounds))


def test_call_that_a_lost_worker_was_at_is_told_the_item(progress: Progress) -> None:
    lost = worker_of(progress).lost(9, LOST, "gone")
    assert (lost.kind, lost.run, lost.item) == (LOST, 4, 2)
    assert lost.rest_s > 0


def test_call_that_waited_meanwhile_is_told_that_nobody_of_it_is_to_blame(progress: Progress) -> None:
    assert worker_of(progress).lost(8, LOST, "gone").run == NOBODY


def test_of_coroutines_and_other_nodes_nobody_knows(progress: Progress) -> None:
    elsewhere = worker_of(progress, "another")
    assert elsewhere.process is None
    assert elsewhere.lives
    assert elsewhere.lost(9, LOST, "gone").run is None
    progress.rests()
    assert worker_of(progress).lost(8, LOST, "gone", awaits=True).run is None


@pytest.mark.parametrize(("awaited", "run"), [(0, NOBODY), (8, None), (7, NOBODY)])
def test_coroutine_is_not_to_blame_for_what_another_call_was_at(
    progress: Progress, awaited: int, run: int | None
) -> None:
    progress.awaits(awaited)
    assert worker_of(progress).lost(8, LOST, "gone", awaits=True).run == run


def test_item_that_does_not_hear_that_its_time_is_up_ends_its_worker(
    progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(ray_workers.time, "monotonic", lambda: now_s)
    worker = worker_of(progress)
    mine, waiting = _Watch(worker, 9, [version_of(handler_s=2)]), _Watch(worker, 8, [version_of(handler_s=2)])
    mine.look()
    waiting.look()
    now_s += 2.4
    mine.look()
    progress(4, 3)
    now_s += 0.2
    mine.look()  # it has come on
    now_s += 2.6
    waiting.look()
    with pytest.raises(WorkerLost, match="more than 2 s") as caught:
        mine.look()
    assert (caught.value.kind, caught.value.run, caught.value.item) == (TOO_LONG, 4, 3)


def test_process_with_too_much_memory_is_ended(progress: Progress) -> None:
    watch = _Watch(worker_of(progress), 9, [version_of(memory_bytes=1)])
    with pytest.raises(WorkerLost) as caught:
        watch.look()
    assert (caught.value.kind, caught.value.run) == (TOO_LARGE, 4)


def test_whoever_made_it_too_large_hears_so_though_another_call_saw_it(progress: Progress) -> None:
    worker = worker_of(progress)
    assert worker.ended_for[0] == LOST
    with pytest.raises(WorkerLost) as caught:
        _Watch(worker, 8, [version_of(memory_bytes=1)]).look()
    assert caught.value.run == NOBODY
    lost = worker.lost(9, *worker.ended_for)  # as its call does, whose process has ended
    assert (lost.kind, lost.run, lost.item) == (TOO_LARGE, 4, 2)


def test_actor_of_an_entity_is_named_by_it() -> None:
    assert actor_name("home/fan") == "flux-actor:home/fan"
