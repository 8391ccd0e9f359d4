"""How long a shard takes to come back: by the entities of its snapshot, and by the log behind it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final, Self

import psutil

from flux_actors.errors import Unavailable
from flux_bench.lab import Say, compare
from flux_bench.metering import MB
from flux_bench.own_flux import OwnFlux
from flux_bench.scale.outcome import RecoveryPoint
from flux_bench.scale.state import NAMESPACE, build, expected, id_of
from flux_bench.server import Server

ENTITIES: Final = (10_000, 100_000, 1_000_000, 5_000_000)
QUICK_ENTITIES: Final = (2_000,)
TAILS: Final = (0, 100_000, 1_000_000, 5_000_000)
QUICK_TAILS: Final = (5_000,)
TAIL_ENTITIES: Final = 100_000  # behind which a tail is measured
QUICK_TAIL_ENTITIES: Final = 1_000
_ENTITY_BYTES: Final = 1_000  # of memory: a shard takes 0.65 KB for each of five million
_SAMPLES: Final = 200
_RECOVERED: Final = "partition.recovered"


class Ground:
    """A Flux that was started once and stopped, and what it left: where every recovery begins."""

    def __init__(self, say: Say) -> None:
        self.flux = OwnFlux("--partitions", "1")
        self._say = say
        self._base = self.flux.folder / "base"

    def __enter__(self) -> Self:
        try:
            self._say("starting a Flux")
            self.flux.start()
            self.flux.stop()
            shutil.copytree(self.flux.data, self._base)
        except BaseException:
            self.flux.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.flux.close()

    def clear(self) -> None:
        """Have the data folder be as it was at first."""
        self.flux.stop()
        shutil.rmtree(self.flux.data)
        shutil.copytree(self._base, self.flux.data)


def measure(ground: Ground, points: Sequence[tuple[int, int]], say: Say) -> Iterator[RecoveryPoint]:
    """Measure points (entities, tail).

    Raises:
        Unavailable: there is no room for so many entities in the memory that is free.
    """
    for entities, tail in points:
        if entities * _ENTITY_BYTES > psutil.virtual_memory().available:
            raise Unavailable(f"{entities:,} entities have no room in the memory that is free here")
        ground.clear()
        yield _point(ground.flux, entities, tail, say)


def _point(flux: OwnFlux, entities: int, tail: int, say: Say) -> RecoveryPoint:
    say(f"scale, recovery: {entities:,} entities and {tail:,} events behind them: making them")
    build(flux.data, entities, tail)
    snapshot = max((flux.data / "snapshots" / "0").glob("*.flux"))
    snapshot_mb = snapshot.stat().st_size / MB
    say(f"scale, recovery: {entities:,} entities and {tail:,} events behind them: starting")
    up_s = flux.start()
    facts = next((one for one in flux.told(_RECOVERED) if int(one["snapshot"]) == int(snapshot.stem)), None)
    if facts is None:
        raise Unavailable("no shard told of a recovery with the snapshot that was made")
    memory_mb = flux.part("shard").memory_info().rss / MB
    verify(flux.url, entities, tail)
    flux.stop()
    return RecoveryPoint(entities, tail, float(facts["seconds"]), up_s, snapshot_mb, memory_mb)


def verify(url: str, entities: int, tail: int) -> None:
    """Check that all entities are there, and that some of them show the last event that was theirs.

    Raises:
        Corrupt: they do not.
    """
    step = max(1, entities // _SAMPLES)
    newest = {(number % entities) for number in range(max(0, tail - _SAMPLES), tail)}  # the log's very end
    numbers = sorted({*range(0, entities, step), entities - 1, *newest})
    with closing(Server(url)) as server:
        compare({"all entities": entities}, {"all entities": server.count(NAMESPACE)}, "the state")
        wanted = {id_of(number): expected(number, entities, tail) for number in numbers}
        compare(wanted, server.some(list(wanted)), "the state after the recovery")
