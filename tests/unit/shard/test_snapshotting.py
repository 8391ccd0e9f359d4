"""Snapshots of a running partition: when, how many, and what happens where none can be written."""

from __future__ import annotations

import itertools
import os
import threading
from dataclasses import dataclass
from random import Random

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.shard import partition
from flux_actors.shard.snapshotting import Snapshotter
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.files import FileSnapshotStore
from flux_actors.snapshot.memory import MemorySink
from flux_actors.surroundings import Surroundings
from tests.unit.shard.hosting import DEADLINE_S, event, properties_of


@dataclass
class Clock:
    now: float = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(partition, "HERE", Surroundings(steady_s=clock.monotonic))
    return clock


async def grow(hosting, host, *events):
    """Write one block and apply it."""
    await hosting.write(*(events or [event("n/e", {"v": 1})]))
    reader = hosting.log.reader(hosting.partition, host.state.sequence)
    host.apply(await reader.pull(0), feed=False)


async def steps_to_the_end(snapshotter):
    await snapshotter.step()
    while snapshotter.busy:
        await snapshotter.written()
        await snapshotter.step()


def kept_state(hosting, sequence):
    return read_snapshot(hosting.store.read(0, sequence))[1]


async def test_none_is_made_before_it_is_due(hosting, clock):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 60.0)
    await grow(hosting, host)
    clock.now += 59
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == []


async def test_the_first_is_made_when_its_turn_comes(hosting, clock):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 60.0)
    await grow(hosting, host)
    clock.now += 60
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == [1]
    assert host.snapshot_sequence == 1


async def test_the_next_is_made_an_interval_later(hosting, clock):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host)
    await steps_to_the_end(snapshotter)
    await grow(hosting, host)
    clock.now += limits.snapshot_every_s - 1
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == [1]
    clock.now += 1
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == [2, 1]


async def test_many_events_make_it_due_at_once(hosting, clock, monkeypatch):
    monkeypatch.setattr(limits, "snapshot_every_events", 3)
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 60.0)
    await grow(hosting, host, event("n/a", {"v": 1}), event("n/b", {"v": 1}))
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == []
    await grow(hosting, host)
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == [2]


async def test_a_partition_that_has_not_moved_needs_no_other_one(hosting, clock):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host)
    await steps_to_the_end(snapshotter)
    hosting.store.delete(0, 1)
    clock.now += 10 * limits.snapshot_every_s
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == []


async def test_it_shows_the_moment_it_began_whatever_changes_meanwhile(hosting, clock, monkeypatch):
    monkeypatch.setattr(limits, "snapshot_slice_entities", 1)
    monkeypatch.setattr(limits, "snapshot_step_s", 0)  # one slice a step
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host, event("n/a", {"v": 1}), event("n/b", {"v": 1}), event("n/c", {"v": 1}))
    await snapshotter.step()
    await grow(hosting, host, event("n/c", {"v": 2}), event("n/new", {"v": 2}))
    await snapshotter.step()
    await grow(hosting, host, event("n/b", {"__deleted__": True}))
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == [1]
    kept = kept_state(hosting, 1)
    assert {name: actor.properties for name, actor in kept.entities.items()} == {
        "n/a": {"v": 1},
        "n/b": {"v": 1},
        "n/c": {"v": 1},
    }
    assert properties_of(host) == {"n/a": {"v": 1}, "n/c": {"v": 2}, "n/new": {"v": 2}}


async def test_nobody_sees_it_before_its_last_slice(hosting, clock):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host)
    await snapshotter.step()
    while snapshotter.encoding:
        assert (hosting.store.sequences(0), host.snapshot_sequence) == ([], 0)
        await snapshotter.written()
        await snapshotter.step()
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == [1]


async def test_what_it_cost_is_told(hosting, clock, lines):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host, event("n/a", {"v": 1}), event("n/b", {"v": 1}))
    await steps_to_the_end(snapshotter)
    (told,) = [line for line in lines if line["event"] == "snapshot.kept"]
    assert (told["partition"], told["sequence"], told["entities"], told["seconds"]) == (0, 1, 2, 0.0)
    assert told["bytes"] == len(b"".join(hosting.store.read(0, 1)))
    assert told["pause_ms_max"] == 0.0


async def test_the_longest_step_is_the_pause(hosting, monkeypatch, lines):
    """A clock that goes on by a second at each look: a step of four looks is the longest."""
    ticks = itertools.count(1_000.0)
    monkeypatch.setattr(partition, "HERE", Surroundings(steady_s=lambda: next(ticks)))
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host)
    await steps_to_the_end(snapshotter)
    (told,) = [line for line in lines if line["event"] == "snapshot.kept"]
    assert told["pause_ms_max"] == 3_000.0


async def test_a_step_takes_no_longer_than_it_may_and_at_least_a_slice(hosting, clock, monkeypatch):
    monkeypatch.setattr(limits, "snapshot_slice_entities", 1)
    host = await hosting.recovered()
    await grow(hosting, host, *(event(f"n/{number}", {"v": 1}) for number in range(20)))
    taken = []
    next_slice = Cut.next_slice

    def slow_slice(cut):
        clock.now += limits.snapshot_step_s / 4
        taken[-1] += 1
        return next_slice(cut)

    monkeypatch.setattr(Cut, "next_slice", slow_slice)
    snapshotter = Snapshotter(host, 0.0)
    await snapshotter.step()
    while snapshotter.encoding:
        await snapshotter.written()
        taken.append(0)
        await snapshotter.step()
    assert max(taken) in {4, 5}  # a quarter is no exact number of seconds
    assert sum(taken) > 20
    await steps_to_the_end(snapshotter)


async def test_events_are_applied_while_the_disk_is_slow(hosting, clock, monkeypatch):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host, event("n/a", {"v": 1}))
    disk = threading.Event()
    commit = MemorySink.commit

    def slow_commit(sink):
        assert disk.wait(DEADLINE_S)
        commit(sink)

    monkeypatch.setattr(MemorySink, "commit", slow_commit)
    while snapshotter.encoding or not snapshotter.busy:
        await snapshotter.written()
        await snapshotter.step()
    await grow(hosting, host, event("n/a", {"v": 2}))
    await snapshotter.step()
    assert (snapshotter.busy, host.snapshot_sequence, properties_of(host)) == (True, 0, {"n/a": {"v": 2}})
    disk.set()
    await steps_to_the_end(snapshotter)
    assert (hosting.store.sequences(0), host.snapshot_sequence) == ([1], 1)


async def test_the_last_one_waits_for_one_that_is_being_flushed(hosting, clock):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host, event("n/a", {"v": 1}))
    while snapshotter.encoding or not snapshotter.busy:
        await snapshotter.written()
        await snapshotter.step()
    await grow(hosting, host, event("n/a", {"v": 2}))
    await snapshotter.finish()
    assert (hosting.store.sequences(0), snapshotter.busy) == ([2, 1], False)


async def test_three_are_kept_and_the_log_is_left_alone(hosting, clock):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    for _ in range(5):
        await grow(hosting, host)
        clock.now += limits.snapshot_every_s
        await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == [5, 4, 3]
    bounds = await hosting.log.bounds(0)
    assert bounds.first <= min(hosting.store.sequences(0))


async def test_the_last_one_shows_the_present_even_if_an_older_cut_is_under_way(hosting, clock):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host, event("n/e", {"v": 1}))
    await snapshotter.step()
    await grow(hosting, host, event("n/e", {"v": 2}))
    await snapshotter.finish()
    assert hosting.store.sequences(0) == [2]
    assert kept_state(hosting, 2).entities["n/e"].properties == {"v": 2}
    assert not snapshotter.busy


async def test_the_last_one_is_spared_when_nothing_came_since(hosting, clock):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host)
    await snapshotter.finish()
    hosting.store.delete(0, 1)
    await snapshotter.finish()
    assert hosting.store.sequences(0) == []


class FullSink:
    """A sink on a full disk, which fails in one of its methods."""

    def __init__(self, fails_in: str, ended: list[str]) -> None:
        self._fails_in = fails_in
        self._ended = ended

    def write(self, data: bytes) -> None:
        self._do("write")

    def commit(self) -> None:
        self._do("commit")

    def abort(self) -> None:
        self._ended.append("aborted")

    def _do(self, name: str) -> None:
        if name == self._fails_in:
            raise Unavailable("no space left on device")


@pytest.mark.parametrize("fails_in", ["write", "commit"])
async def test_one_that_cannot_be_written_is_given_up_without_leftovers_and_tried_again(
    hosting, clock, monkeypatch, fails_in
):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host)
    ended: list[str] = []
    with monkeypatch.context() as full:
        full.setattr(hosting.store, "begin", lambda *_: FullSink(fails_in, ended))
        await steps_to_the_end(snapshotter)
    assert (snapshotter.busy, host.snapshot_sequence, host.state.witness) == (False, 0, None)
    assert ended == ["aborted"]
    clock.now += 29
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == []
    clock.now += 1
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == [1]


async def test_a_place_that_cannot_be_opened_is_tried_again(hosting, clock, monkeypatch):
    host = await hosting.recovered()
    snapshotter = Snapshotter(host, 0.0)
    await grow(hosting, host)

    def refuse(*_):
        raise Unavailable("permission denied")

    with monkeypatch.context() as closed:
        closed.setattr(hosting.store, "begin", refuse)
        await steps_to_the_end(snapshotter)
    clock.now += 30
    await steps_to_the_end(snapshotter)
    assert hosting.store.sequences(0) == [1]


async def test_a_full_disk_costs_the_snapshot_and_nothing_else(hosting, clock, monkeypatch, tmp_path):
    open_file = os.open

    def open_on_full_disk(path, *options):
        return open_file("/dev/full" if str(path).endswith(".tmp") else path, *options)

    monkeypatch.setattr(os, "open", open_on_full_disk)
    hosting.store = FileSnapshotStore(tmp_path)
    host = await hosting.recovered()
    await grow(hosting, host, event("n/e", {"noise": Random(1).randbytes(50_000).hex()}))
    snapshotter = Snapshotter(host, 0.0)
    await steps_to_the_end(snapshotter)
    assert (snapshotter.busy, hosting.store.sequences(0)) == (False, [])
