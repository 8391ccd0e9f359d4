"""The series of `--scale`: their names, and one run of those that are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, TypeVar

from flux_actors.errors import FluxError, Refused
from flux_bench.generating import Generator
from flux_bench.lab import Say
from flux_bench.runner import Plan
from flux_bench.scale import load, moving, recovery, syncs
from flux_bench.scale.outcome import Load, LoadPoint, MovePoint, RecoveryPoint, Scale, Syncs

_Point = TypeVar("_Point")
_SYNC_S: Final = 2.0
_QUICK_SYNC_S: Final = 0.2


class Other(StrEnum):
    """What is measured beside load."""

    ENTITIES = "entities"
    TAIL = "tail"
    MOVING = "moving"


ABOUT: Final[dict[str, str]] = {
    Load.SINGLES: "events/s one by one, by shards and doors",
    Load.BATCHES: "events/s in batches, by shards and doors",
    Load.READS: "reads/s, by shards and doors",
    Load.WATCHERS: "messages/s to watchers, by shards and doors",
    Other.ENTITIES: "recovery by entities of the snapshot",
    Other.TAIL: "recovery by events behind the snapshot",
    Other.MOVING: "partitions that move under load, by entities",
}


def chosen(names: str) -> list[str]:
    """Return the series that are listed, with commas between; every one for `all`.

    Raises:
        Refused: there is no such series.
    """
    wanted = list(ABOUT) if names == "all" else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in ABOUT:
            raise Refused(f"there is no scale series {name!r}; there are {', '.join(ABOUT)}, and all")
    return wanted


def check(plan: Plan) -> None:
    """Return if the series can be measured.

    Raises:
        Refused: the plan names a server, and all of them need a Flux that the benchmark starts itself.
    """
    if plan.url is not None:
        raise Refused("--scale needs a Flux that the benchmark starts itself; leave --url out")


def measure_all(names: Sequence[str], plan: Plan, say: Say) -> Scale:
    """Measure series; one that cannot be measured, or not be verified, ends early and says why."""
    measuring = _Measuring(names, plan, say)
    with Generator() as generator:
        loads = measuring.loads(generator)
        moves = measuring.moves(generator)
    syncs_found = measuring.syncs() if loads else None
    recoveries = measuring.recoveries()
    return Scale(
        loads, syncs_found, recoveries[Other.ENTITIES], recoveries[Other.TAIL], moves, measuring.reasons
    )


class _Measuring:
    """One run, and why series of it ended early."""

    def __init__(self, names: Sequence[str], plan: Plan, say: Say) -> None:
        self.reasons: list[str] = []
        self._names = names
        self._quick = plan.one_server
        self._amount = plan.scale
        self._say = say

    def loads(self, generator: Generator) -> list[LoadPoint]:
        """Measure all loads that are wanted."""
        wanted = [one for one in Load if one in self._names]
        sizes = load.QUICK if self._quick else load.SIZES
        if not wanted:
            return []
        return self._all(", ".join(wanted), load.measure(wanted, sizes, generator, self._amount, self._say))

    def syncs(self) -> Syncs | None:
        """Measure what the log makes durable."""
        self._say("scale, syncs of the log")
        seconds = _QUICK_SYNC_S if self._quick else _SYNC_S
        return next(iter(self._all("syncs", iter(syncs.measure(seconds) for _ in range(1)))), None)

    def moves(self, generator: Generator) -> list[MovePoint]:
        """Measure moves, if they are wanted."""
        if Other.MOVING not in self._names:
            return []
        sizes, turns = (moving.QUICK, moving.QUICK_TURNS) if self._quick else (moving.SIZES, moving.TURNS)
        return self._all(Other.MOVING, moving.measure(sizes, turns, generator, self._amount, self._say))

    def recoveries(self) -> dict[Other, list[RecoveryPoint]]:
        """Measure recoveries, if they are wanted."""
        found: dict[Other, list[RecoveryPoint]] = {Other.ENTITIES: [], Other.TAIL: []}
        wanted = [series for series in found if series in self._names]
        if not wanted:
            return found
        try:
            with recovery.Ground(self._say) as ground:
                for series in wanted:
                    points = recovery.measure(ground, self._points(series), self._say)
                    found[series] = self._all(series, points)
        except FluxError as error:
            self.reasons.append(f"{', '.join(wanted)}: {error.message}")
        return found

    def _points(self, series: Other) -> list[tuple[int, int]]:
        """Return the entities and the tail of each recovery of a series."""
        if series is Other.ENTITIES:
            sizes = recovery.QUICK_ENTITIES if self._quick else recovery.ENTITIES
            return [(entities, 0) for entities in sizes]
        tails = recovery.QUICK_TAILS if self._quick else recovery.TAILS
        entities = recovery.QUICK_TAIL_ENTITIES if self._quick else recovery.TAIL_ENTITIES
        return [(entities, tail) for tail in tails]

    def _all(self, name: str, points: Iterator[_Point]) -> list[_Point]:
        """Return points as far as they come; the reason why no more came is noted."""
        found: list[_Point] = []
        try:
            for point in points:
                found.append(point)  # noqa: PERF402 - those before a fault are kept
        except FluxError as error:
            self.reasons.append(f"{name}: {error.message}")
        return found
