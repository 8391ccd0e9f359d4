"""What `flux bench` does, apart from reading its options."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flux_actors import __version__
from flux_actors.errors import Refused
from flux_bench import comparison, growth, plots, report
from flux_bench.comparison import load_run
from flux_bench.lab import FULL, QUICK, Scale
from flux_bench.machine import this_machine
from flux_bench.outcome import Run
from flux_bench.profiling import Profiler
from flux_bench.registry import ALL, chosen
from flux_bench.runner import Plan, Runner, plainly
from flux_bench.scale import curves, document
from flux_bench.scale import series as scaling
from flux_bench.server import place_of
from flux_bench.targets import Verdict

_WIDTH = 200  # of tables that go to a file or a pipe


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    url: str | None = None
    only: str | None = None
    quick: bool = False
    times: int = 3
    seconds: float | None = None
    entities: int | None = None
    strict: bool = False
    json_file: Path | None = None
    markdown_file: Path | None = None
    growth: str | None = None  # names of series, or `all`
    scale: str | None = None  # the same of the others
    plots: Path | None = None
    profile: str | None = None
    stacks: Path | None = None


def measure(wanted: Wanted) -> int:
    """Measure, print, save; return the exit code."""
    with _ends_cleanly():
        return _measure(wanted)


def _measure(wanted: Wanted) -> int:
    series = growth.chosen(wanted.growth) if wanted.growth is not None else []
    scale = scaling.chosen(wanted.scale) if wanted.scale is not None else []
    if wanted.plots is not None:
        plots.check()  # now, and not after an hour of measuring
    profiler = Profiler(wanted.stacks) if wanted.profile is not None else None
    plan = _plan(wanted)
    if scale:
        scaling.check(plan)
    lines = Runner(plan, _say, profiler.around if profiler is not None else plainly).run()
    run = Run(
        __version__,
        datetime.now(UTC).isoformat(timespec="seconds"),
        wanted.url or "a Flux of its own",
        wanted.quick,
        plan.times,
        this_machine(),
        lines,
        growth.grow_all(series, plan, _say),
        scaling.measure_all(scale, plan, _say) if scale else None,
    )
    if wanted.json_file is not None:
        _write(wanted.json_file, msgspec.json.format(msgspec.json.encode(run)))
    render(run, wanted.markdown_file, wanted.plots)
    if profiler is not None:
        profiler.show(console())
    return code_of(run, strict=wanted.strict)


@contextmanager
def _ends_cleanly() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, so that a Flux of ours is stopped; open as many sockets as are allowed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a thousand sockets, at both ends
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def render(run: Run, markdown_file: Path | None, plots_folder: Path | None) -> None:
    """Print a run, and write what else was asked for."""
    report.show(run, console())
    if markdown_file is not None:
        _write(markdown_file, _document(run, markdown_file).encode())
    if plots_folder is not None:
        figures = [*map(plots.figure_of, run.growth), *(curves.figures_of(run.scale) if run.scale else ())]
        for path in plots.draw_all(figures, plots_folder):
            _say(f"drew {path}")


def _document(run: Run, file: Path) -> str:
    """Return what a document about a run is: tables alone, or what is there with its figures made new."""
    there = file.read_text() if file.is_file() else ""
    if run.scale is None or not document.names_in(there):
        return report.markdown(run)
    return document.filled(there, report.scale_parts(run))


def show_saved(saved: Path, markdown_file: Path | None, plots_folder: Path | None) -> None:
    """Do with a saved run what `render` does."""
    render(load_run(saved), markdown_file, plots_folder)


def compare(old: Path, new: Path) -> None:
    """Print two saved runs side by side."""
    comparison.show(load_run(old), load_run(new), console())


def list_cases() -> None:
    """Print the names of the cases, what they measure, and the series."""
    table = Table("case", "measures", "target", box=None, pad_edge=False)
    for case in ALL:
        for row in case.rows:
            table.add_row(case.name, row.title, row.target.text() if row.target is not None else "")
    for growing in growth.ALL:
        table.add_row(f"--growth {growing.key}", f"{growing.y_name} by {growing.x_name}", "")
    for name, about in scaling.ABOUT.items():
        table.add_row(f"--scale {name}", about, "")
    console().print(table)


def code_of(run: Run, *, strict: bool) -> int:
    """Return 1 when something was not verified, or (if `strict`) a target was missed."""
    verdicts = {line.verdict for line in run.lines}
    failed = Verdict.FAILED in verdicts or any(series.reason for series in run.growth)
    failed = failed or bool(run.scale is not None and run.scale.reasons)
    return int(failed or (strict and Verdict.MISSED in verdicts))


def console() -> Console:
    """Return where tables go; into a file they are as wide as they need."""
    found = Console()
    return found if found.is_terminal else Console(width=_WIDTH)


def _plan(wanted: Wanted) -> Plan:
    if wanted.url is not None:
        place_of(wanted.url)  # nonsense is refused before anything starts
    names = wanted.profile or wanted.only
    series_alone = wanted.growth is not None or wanted.scale is not None
    cases = [] if names is None and series_alone else chosen(names)
    if wanted.profile is not None and wanted.url is not None:
        raise Refused("--profile needs a Flux that the benchmark starts itself; leave --url out")
    times = 1 if wanted.quick or wanted.profile is not None else wanted.times
    token = os.environ.get("FLUX_ADMIN_TOKEN")
    return Plan(cases, _scale(wanted), times, wanted.url, token, one_server=wanted.quick)


def _scale(wanted: Wanted) -> Scale:
    scale = QUICK if wanted.quick else FULL
    if wanted.seconds is not None:
        scale = replace(scale, seconds=wanted.seconds, warm_up_s=min(scale.warm_up_s, wanted.seconds / 4))
    if wanted.entities is not None:
        scale = replace(scale, large_entities=wanted.entities)
    return scale


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Refused(f"{path} cannot be written ({error.strerror})") from None


def _say(text: str) -> None:
    """Tell how far it is, on standard error: standard output is for results."""
    Console(stderr=True).print(
        Text(f"{datetime.now(UTC).astimezone():%H:%M:%S} {text}"), style="dim", soft_wrap=True
    )
