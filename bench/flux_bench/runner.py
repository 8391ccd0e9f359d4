"""Running cases: a server for each stage, every case several times, and each failure told as one.

A case that could not be verified has no figure. The others go on: one run shows all that is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Final

import msgspec

from flux_actors.errors import FluxError
from flux_bench.baselines import Baselines
from flux_bench.cases.case import Case, Stage
from flux_bench.generating import Generator
from flux_bench.lab import Lab, Say, Scale
from flux_bench.opening import nowhere, on_own, on_url
from flux_bench.outcome import Line, Measured, lines_of, without_figures
from flux_bench.own_flux import OwnFlux
from flux_bench.targets import Verdict

_BUSY: Final = 0.95  # of a core
Around = Callable[[Lab, Case, Callable[[], Measured]], Measured]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does."""

    cases: Sequence[Case]
    scale: Scale
    times: int = 3
    url: str | None = None  # of a server that runs; else one is started
    admin_token: str | None = None
    one_server: bool = False  # a quick run: all cases share one, growth takes two small steps


def plainly(_lab: Lab, _case: Case, measure: Callable[[], Measured]) -> Measured:
    """Measure and do nothing beside it."""
    return measure()


class Runner:
    """Carries out a plan; `say` hears how far it is, `around` may do something beside each measurement."""

    def __init__(self, plan: Plan, say: Say, around: Around = plainly) -> None:
        self._plan = plan
        self._say = say
        self._around = around

    def run(self) -> list[Line]:
        """Return the lines of all cases, in the order of the plan."""
        found: dict[str, list[Line]] = {}
        with ExitStack() as stack:
            generator = stack.enter_context(Generator())
            baselines = stack.enter_context(Baselines(generator, min(1.0, self._plan.scale.seconds)))
            for stages in self._places():
                cases = [case for case in self._plan.cases if case.stage in stages]
                if cases:
                    found |= self._stage(stages[0], cases, generator, baselines)
        return [line for case in self._plan.cases for line in found[case.name]]

    def _places(self) -> Sequence[tuple[Stage, ...]]:
        """Return which stages share a server: a long log would slow the others, but not by being short."""
        if self._plan.one_server:
            return ((Stage.SMALL, Stage.LARGE), (Stage.ALONE,))
        return ((Stage.SMALL,), (Stage.LARGE,), (Stage.ALONE,))

    def _stage(
        self, stage: Stage, cases: list[Case], generator: Generator, baselines: Baselines
    ) -> dict[str, list[Line]]:
        found = {case.name: self._not_here(case) for case in cases}
        possible = [case for case in cases if not found[case.name]]
        if not possible:
            return found
        try:
            with self._lab(stage, generator) as lab:
                for case in idle_first(possible):
                    found[case.name] = self._case(case, lab, baselines)
        except FluxError as error:
            for case in possible:
                found[case.name] = found[case.name] or failed(case, error)
        return found

    def _not_here(self, case: Case) -> list[Line]:
        """Return lines that say why a case cannot be measured here; none when it can."""
        if (os.cpu_count() or 1) < case.cores_min:
            return without_figures(case.name, case.rows, Verdict.NOT_HERE, f"needs {case.cores_min} cores")
        if case.own and self._plan.url is not None:
            reason = "needs a Flux that the benchmark starts itself"
            return without_figures(case.name, case.rows, Verdict.NOT_HERE, reason)
        return []

    def _lab(self, stage: Stage, generator: Generator) -> AbstractContextManager[Lab]:
        plan = self._plan
        if stage is Stage.ALONE:
            return nowhere(generator, plan.scale, self._say)
        if plan.url is not None:
            return on_url(plan.url, plan.admin_token, generator, plan.scale, self._say)
        return on_own(OwnFlux(), generator, plan.scale, self._say)

    def _case(self, case: Case, lab: Lab, baselines: Baselines) -> list[Line]:
        """Measure a case as often as the plan says; each time its baseline first."""
        found: list[Measured] = []
        beside: list[float | None] = []
        times = min(self._plan.times, case.times_max or self._plan.times)
        try:
            for number in range(1, times + 1):
                self._say(f"{case.name}, {number} of {times}")
                beside.append(baselines.measure(case.baseline) if case.baseline else None)
                measured = self._around(lab, case, lambda: case.measure(lab))
                found.append(_with_warning(measured, lab))
        except FluxError as error:
            return failed(case, error)
        return lines_of(case.name, case.rows, found, beside)


def _with_warning(measured: Measured, lab: Lab) -> Measured:
    """Return what was measured, with a word when the generator may have been the slowest part of it."""
    if lab.generator_share < _BUSY:
        return measured
    note = "the generator was busy all the time: the server may be faster"
    return msgspec.structs.replace(measured, note="; ".join(filter(None, (measured.note, note))))


def failed(case: Case, error: FluxError) -> list[Line]:
    """Return the lines of a case whose result was not verified."""
    return without_figures(case.name, case.rows, Verdict.FAILED, error.message)


def idle_first(cases: list[Case]) -> list[Case]:
    """Return the cases with the one first that looks at an idle system."""
    return sorted(cases, key=lambda case: case.name != "idle-memory")
