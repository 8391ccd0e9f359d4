"""What was measured: one row of the table each, and a whole run as it is saved."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from flux_bench.latencies import Latencies
from flux_bench.scale.outcome import Scale
from flux_bench.targets import Baseline, Target, Verdict

_NOT_TOLD: Final = "this server does not tell"


class Row(msgspec.Struct, frozen=True):
    """A line of the table, before it is measured."""

    key: str
    title: str
    unit: str
    target: Target | None = None
    less_is_better: bool = False


class Measured(msgspec.Struct, frozen=True):
    """What one repetition of a case found, verified: a value for each of its rows.

    `cpu_us` is processor time per event (or request) of each part in microseconds. So is `sent_bytes`: what
    all processes sent each other, and what nats-server did.
    """

    values: dict[str, float]
    latencies: Latencies | None = None
    cpu_us: dict[str, float] = {}
    memory_mb: dict[str, float] = {}
    note: str = ""
    sent_bytes: dict[str, float] = {}


class Line(msgspec.Struct, frozen=True):
    """A line of the table as it was measured; without `value` there is none, and `reason` says why."""

    case: str
    row: Row
    verdict: Verdict
    value: float | None = None
    values: list[float] = []
    baseline: Baseline | None = None
    baseline_value: float | None = None
    latencies: Latencies | None = None
    cpu_us: dict[str, float] = {}
    memory_mb: dict[str, float] = {}
    note: str = ""
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the baseline it is."""
        if self.value is None or not self.baseline_value:
            return None
        return self.value / self.baseline_value


class Series(msgspec.Struct, frozen=True):
    """A growth series: what a figure becomes while one thing grows."""

    key: str
    title: str
    x_name: str
    y_name: str
    points: list[tuple[float, float]]
    reason: str = ""


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str


class Run(msgspec.Struct, frozen=True):
    """All of one run."""

    flux: str
    when: str
    url: str
    quick: bool
    times: int
    machine: Machine
    lines: list[Line] = []
    growth: list[Series] = []
    scale: Scale | None = None


def lines_of(
    case: str, rows: Sequence[Row], found: Sequence[Measured], baselines: Sequence[float | None]
) -> list[Line]:
    """Return the lines of a case from its repetitions; each figure is the median."""
    known = [value for value in baselines if value is not None]
    baseline_value = statistics.median(known) if known else None
    typical = found[len(found) // 2]
    lines = []
    for row in rows:
        values = [one.values[row.key] for one in found if row.key in one.values]
        if not values:
            lines.append(Line(case, row, Verdict.NOT_HERE, reason=_NOT_TOLD))
            continue
        baseline = row.target.baseline if row.target is not None else None
        beside = baseline_value if baseline is not None else None
        value = statistics.median(values)
        lines.append(
            Line(
                case,
                row,
                row.target.verdict(value, beside) if row.target is not None else Verdict.OPEN,
                value,
                values,
                baseline,
                beside,
                typical.latencies,
                typical.cpu_us,
                typical.memory_mb,
                typical.note,
            )
        )
    return lines


def without_figures(case: str, rows: Sequence[Row], verdict: Verdict, reason: str) -> list[Line]:
    """Return the lines of a case that has no figure to show."""
    return [Line(case, row, verdict, reason=reason) for row in rows]
