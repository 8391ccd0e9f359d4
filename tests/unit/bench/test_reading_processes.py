"""What is read from processes, logs and profiles that are not the benchmark's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import psutil
import pytest

from flux_actors.errors import Refused
from flux_bench import plots, profiling
from flux_bench.metering import Growth, part_of, pss
from flux_bench.outcome import Series
from flux_bench.own_flux import facts_of
from flux_bench.profiling import hottest, stacks_of

LOG = """\
2030-01-31 [info     ] partition.recovered            epoch=2 partition=3 seconds=1.25 snapshot=0
\x1b[2m2030\x1b[0m [\x1b[32minfo\x1b[0m] \x1b[1msnapshot.kept\x1b[0m \
\x1b[36mpartition\x1b[0m=\x1b[35m3\x1b[0m \x1b[36mpause_ms_max\x1b[0m=\x1b[35m7.5\x1b[0m
partition.stopped reason='it says "seconds=9"'
"""


def test_fields_of_a_log_line_are_read_with_and_without_colours():
    (recovered,) = facts_of(LOG, "partition.recovered")
    assert (recovered["seconds"], recovered["partition"]) == ("1.25", "3")
    (kept,) = facts_of(LOG, "snapshot.kept")
    assert kept["pause_ms_max"] == "7.5"
    assert list(facts_of(LOG, "nothing")) == []


@pytest.mark.parametrize(
    ("title", "part"),
    [
        ("ray::ServeReplica:flux:door ray::ServeReplica", "door"),
        ("ray::ShardProcess", "shard"),
        ("ray::NamespaceRouter", "router"),
        ("nats-server /x/bin/nats-server", "log"),
        ("raylet", "Ray and the rest"),
    ],
)
def test_parts_are_known_by_their_titles(title: str, part: str):
    assert part_of(title) == part


def test_self_time_is_that_of_the_last_frame_and_lines_of_a_function_count_together():
    stacks = stacks_of("a (m.py:1);b (m.py:2) 3\na (m.py:1);b (m.py:9) 4\na (m.py:1) 1\nnonsense\n")
    assert [(hot.function, hot.samples) for hot in hottest(stacks)] == [("b (m.py)", 7), ("a (m.py)", 1)]
    assert hottest(stacks)[0].share == pytest.approx(7 / 8)
    assert hottest(Counter()) == []


def test_growth_of_memory_is_seen_even_when_it_is_given_back():
    with Growth(psutil.Process()) as growth:
        block = bytearray(os.urandom(1)) * 30_000_000
        del block
    with Growth(None) as nobody:
        pass
    assert growth.mb >= 0
    assert nobody.mb == 0
    assert pss(psutil.Process()) > 1_000_000


def test_an_entity_is_measured_without_its_history():
    measured = subprocess.run(
        [sys.executable, "-m", "flux_bench.entity_memory", "20000"], capture_output=True, check=True
    )
    told = json.loads(measured.stdout)
    assert 100 < told["bytes"] < 10_000
    assert told["history_off"] or told["history_bytes"] > 0


def test_plots_are_the_same_bytes_for_the_same_figures(tmp_path):
    series = [Series("b", "Batches", "events in a batch", "events/s", [(1, 5.0), (1_000, 70.0)])]
    empty = Series("c", "Nothing", "x", "y", [])
    (first,) = plots.draw_all(map(plots.figure_of, [*series, empty]), tmp_path / "one")
    (second,) = plots.draw_all(map(plots.figure_of, series), tmp_path / "two")
    assert first.name == "b.svg"
    assert first.read_bytes() == second.read_bytes()
    assert b"events in a batch" in first.read_bytes()


def test_what_is_not_installed_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Refused, match=r"pip install 'flux-actors\[bench\]'"):
        plots.check()
    monkeypatch.setattr(profiling.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(Refused, match=r"pip install 'flux-actors\[bench\]'"):
        profiling.binary()
