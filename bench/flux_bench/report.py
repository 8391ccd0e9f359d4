"""The table, for people: on the terminal with rich, in a document as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flux_bench.outcome import Line, Run, Series
from flux_bench.scale.outcome import Scale
from flux_bench.scale.tables import tables_of
from flux_bench.targets import BASELINE_TEXTS, Verdict

_STYLES: Final = {
    Verdict.REACHED: "green",
    Verdict.MISSED: "yellow",
    Verdict.FAILED: "bold red",
    Verdict.NOT_HERE: "dim",
    Verdict.OPEN: "",
}
_COLUMNS: Final = ("case", "what", "ours", "baseline", "ratio", "target", "verdict")
_DETAILS: Final = ("case", "p50 / p90 / p99 / p99.9 / max, ms", "processor, µs per event", "note")


def show(run: Run, console: Console) -> None:
    """Print a run."""
    machine = run.machine
    console.print(
        f"Flux {run.flux} at {run.url}, {machine.cores} cores, {machine.processor}, {machine.memory_gb} GiB, "
        f"median of {run.times}" + (", quick: figures mean nothing" if run.quick else ""),
        highlight=False,
    )
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    for line in run.lines:
        style = _STYLES[line.verdict]
        table.add_row(*(Text(cell) for cell in cells_of(line)[:-1]), Text(cells_of(line)[-1], style=style))
    if run.lines:
        console.print(table)
    for text in baseline_texts(run.lines):
        console.print(text, highlight=False)
    _show_details(run.lines, console)
    for series in run.growth:
        _show_series(series, console)
    if run.scale is not None:
        _show_scale(run.scale, console)


def _show_series(series: Series, console: Console) -> None:
    table = Table(series.x_name, series.y_name, title=f"{series.title} {series.reason}", box=None)
    for x, y in series.points:
        table.add_row(f"{x:,.0f}", number_text(y))
    console.print()
    console.print(table)


def _show_scale(scale: Scale, console: Console) -> None:
    for one in tables_of(scale):
        table = Table(*one.columns, title=one.title, box=None, pad_edge=False)
        for row in one.rows:
            table.add_row(*map(Text, row))
        console.print()
        console.print(table)
    for reason in scale.reasons:
        console.print(reason, style="bold red", highlight=False)


def _show_details(lines: Sequence[Line], console: Console) -> None:
    rows = [row for line in first_of_each(lines) if any((row := details_of(line))[1:])]
    if rows:
        table = Table(*_DETAILS, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print()
        console.print(table)


def cells_of(line: Line) -> list[str]:
    """Return a line of the table as texts."""
    row = line.row
    ours = (
        f"{number_text(line.value)} {row.unit}" if line.value is not None else line.reason or "not measured"
    )
    baseline = f"{line.baseline} {number_text(line.baseline_value)}" if line.baseline_value else ""
    ratio = f"{line.ratio:.2f}" if line.ratio is not None else ""
    target = row.target.text() if row.target is not None else ""
    return [line.case, row.title, ours, baseline, ratio, target, line.verdict.value]


def details_of(line: Line) -> list[str]:
    """Return what else is known of a case."""
    cpu = ", ".join(f"{part} {us:.1f}" for part, us in line.cpu_us.items() if us >= 0.05)
    memory = ", ".join(f"{part} {mb:.0f} MB" for part, mb in line.memory_mb.items())
    latencies = line.latencies.text() if line.latencies is not None else ""
    return [line.case, latencies, cpu, "; ".join(filter(None, (line.note, memory)))]


def first_of_each(lines: Iterable[Line]) -> list[Line]:
    """Return the first line of each case."""
    return list({line.case: line for line in reversed(list(lines))}.values())[::-1]


def baseline_texts(lines: Iterable[Line]) -> list[str]:
    """Return what the baselines among the lines are."""
    used = sorted({line.baseline for line in lines if line.baseline is not None})
    return [f"{baseline}: {BASELINE_TEXTS[baseline]}" for baseline in used]


def number_text(value: float | None) -> str:
    """Return a number with three digits that count."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def markdown(run: Run) -> str:
    """Return a run as a Markdown document's part."""
    lines = [_where(run)]
    if run.lines or run.scale is None:
        lines += [
            "",
            *_markdown_table(_COLUMNS, [cells_of(line) for line in run.lines]),
            "",
            *(f"{text}.  " for text in baseline_texts(run.lines)),
            "",
            *_markdown_table(_DETAILS, [details_of(line) for line in first_of_each(run.lines)]),
        ]
    for table in tables_of(run.scale) if run.scale is not None else []:
        lines += ["", f"**{table.title}**", "", *_markdown_table(table.columns, table.rows)]
    return "\n".join(lines) + "\n"


def scale_parts(run: Run) -> dict[str, str]:
    """Return the parts of a document about a run of `--scale`, by the names of their places."""
    tables = tables_of(run.scale) if run.scale is not None else []
    return {"where": _where(run)} | {
        table.key: "\n".join(_markdown_table(table.columns, table.rows)) for table in tables
    }


def _where(run: Run) -> str:
    machine = run.machine
    repeated = f"; median of {run.times}" if run.lines else ""
    return (
        f"Flux {run.flux}, {run.when[:10]}, {machine.cores} cores ({machine.processor}), "
        f"{machine.memory_gb} GiB, {machine.system}, Python {machine.python}{repeated}."
    )


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(columns), line(["---"] * len(columns)), *map(line, rows)]
