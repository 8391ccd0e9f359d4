"""What `--scale` measures, on a small server and on files; and that a liar gets no figure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.block import decode_block
from flux_actors.snapshot.codec import Header, read_snapshot
from flux_actors.snapshot.files import FileSnapshotStore
from flux_bench.lab import QUICK, Lab
from flux_bench.runner import Plan
from flux_bench.scale import load, series, state
from flux_bench.scale.outcome import Load
from flux_bench.scale.pinning import deal, pin_process
from flux_bench.scale.recovery import verify
from tests.unit.bench.fake_flux import FakeFlux
from tests.unit.bench.scale_sample import scale_sample

LabOn = Callable[..., Lab]
Serve = Callable[..., FakeFlux]


def small(kind: Load) -> load.Kind:
    """Return a load on few connections, in small batches."""
    full = load.KINDS[kind]
    return full._replace(connections=2, events=min(full.events, 5))


@pytest.mark.parametrize("kind", Load)
def test_a_load_has_a_point(lab_on: LabOn, kind: Load):
    point = load.point_of(lab_on(), small(kind), 1, 1)
    assert point.rate > 0
    assert point.block_events == 1  # of a server whose blocks have one event each
    assert point.per_event == (60 if kind is Load.WATCHERS else 1)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Load.SINGLES, "twice"),
        (Load.BATCHES, "keeps old values"),
        (Load.READS, "reads another"),
        (Load.WATCHERS, "repeats messages"),
    ],
)
def test_a_load_on_a_liar_has_none(lab_on: LabOn, kind: Load, fault: str):
    with pytest.raises((Corrupt, Unavailable)):
        load.point_of(lab_on(fault), small(kind), 1, 1)


@given(st.integers(1, 6), st.integers(0, 6), st.integers(1, 9))
def test_every_process_is_dealt_to_a_core_and_no_core_has_two_more_than_another(doors, shards, cores):
    hands = deal({"door": doors, "shard": shards, "log": 1}, cores)
    assert sorted(part for hand in hands for part in hand) == sorted(
        ["door"] * doors + ["shard"] * shards + ["log"]
    )
    assert max(map(len, hands)) - min(map(len, hands)) <= 1


def test_all_threads_of_a_process_are_pinned():
    lines = (
        "import threading as t; e = t.Event(); t.Thread(target=e.wait).start()",
        "print(1, flush=True); input(); e.set()",
    )
    with subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (core, *_) = sorted(os.sched_getaffinity(0))
        pin_process(psutil.Process(process.pid), {core})
        threads = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
        found = [os.sched_getaffinity(thread) for thread in threads]
        process.communicate(b"\n")
    assert len(found) >= 2
    assert all(cores == {core} for cores in found)


@pytest.mark.parametrize(("entities", "tail"), [(1, 0), (7, 3), (700, 1_500)])
def test_a_state_that_was_made_reads_as_one_that_grew(tmp_path: Path, entities: int, tail: int):
    store = FileSnapshotStore(tmp_path)
    header = Header("log", 0, 41, 1_700_000_000_000_000, 12, [], [], 0, 0)
    state.write_snapshot(store, header, PartitionState(0), entities)
    found, folded = read_snapshot(store.read(0, 41))
    assert (found, folded.alive) == (header, entities)
    for sequence, block in enumerate(state.blocks(entities, tail), 42):
        folded.apply([(sequence, decode_block(block))])
    assert folded.events_total == 12 + tail
    assert {
        number: folded.entities[state.id_of(number)].properties["sequence"] for number in range(entities)
    } == {number: state.expected(number, entities, tail) for number in range(entities)}


def recovered(flux: FakeFlux, entities: int, tail: int) -> None:
    """Fill a small server as the state would be."""
    for number in range(entities):
        properties = {"sequence": state.expected(number, entities, tail)}
        flux.entities[state.id_of(number)] = properties


def test_a_recovery_is_verified_by_all_counts_and_some_entities(serve: Serve):
    flux = serve()
    recovered(flux, 30, 100)
    verify(flux.url, 30, 100)
    flux.entities[state.id_of(29)]["sequence"] -= 1
    with pytest.raises(Corrupt, match="after the recovery"):
        verify(flux.url, 30, 100)
    recovered(flux, 29, 100)
    with pytest.raises(Corrupt, match="all entities"):
        verify(flux.url, 31, 100)


def test_names_of_series_are_checked():
    assert series.chosen("all") == list(series.ABOUT)
    assert series.chosen("tail, reads") == ["tail", "reads"]
    with pytest.raises(Refused, match="there is no scale series 'x'"):
        series.chosen("x")


def test_what_was_measured_before_a_fault_is_kept_and_the_fault_told(monkeypatch):
    first = scale_sample().loads[0]

    def one_then_none(*_) -> Iterator[object]:
        yield first
        raise Corrupt("an entity is missing")

    monkeypatch.setattr(load, "measure", one_then_none)
    monkeypatch.setattr("flux_bench.scale.syncs.measure", lambda _: scale_sample().syncs)
    found = series.measure_all(["singles"], Plan([], QUICK, one_server=True), lambda _: None)
    assert found.loads == [first]
    assert found.reasons == ["singles: an entity is missing"]
