"""A case: some rows of the table, and how they are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from flux_bench.lab import Lab
from flux_bench.outcome import Measured, Row
from flux_bench.targets import Baseline


class Stage(Enum):
    """What a case needs to find."""

    SMALL = "a server with few entities"
    LARGE = "a server with the large state"
    ALONE = "no server, or servers of its own"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure, over and over."""

    name: str
    rows: tuple[Row, ...]
    measure: Callable[[Lab], Measured]
    stage: Stage = Stage.SMALL
    own: bool = False  # needs a Flux that the benchmark starts, stops and looks into
    times_max: int | None = None  # for what cannot be repeated
    cores_min: int = 1

    @property
    def baseline(self) -> Baseline | None:
        """The baseline that stands beside it."""
        return next((row.target.baseline for row in self.rows if row.target and row.target.baseline), None)
