"""Partitions on the move: how long each takes, and how long a client waits at most meanwhile.

Two loads go on all the time: one writes, the other reads lists, which doors ask of shards each time (what a
door has in its view would be read without a shard). The same loads go before the first move, for comparison.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from flux_actors.errors import Corrupt, Unavailable
from flux_bench.generating import Generator
from flux_bench.generator.http import get
from flux_bench.generator.jobs import Pace, Publish, Read
from flux_bench.lab import Lab, Say, compare
from flux_bench.lab import Scale as Amount
from flux_bench.opening import on_own
from flux_bench.own_flux import OwnFlux
from flux_bench.scale.load import PARTITIONS
from flux_bench.scale.outcome import Moved, MovePoint
from flux_bench.workload import Workload

SIZES: Final = (10_000, 100_000, 1_000_000)
QUICK: Final = (1_000,)
TURNS: Final = (2, 1, 2, 1)  # numbers of shards, one after the other
QUICK_TURNS: Final = (2, 1)
_FILLED: Final = "bench-filled"
_WRITTEN: Final = "bench-written"
_FILL_CONNECTIONS: Final = 4
_FILL_BATCH: Final = 500
_WRITERS: Final = 8
_WRITTEN_EVENTS: Final = 20  # in a request
_READERS: Final = 4
_LISTED: Final = 20
_PAUSE_S: Final = 0.005  # of each connection between an answer and the next request
_ROUND: Final = 100  # requests of each connection: about a second; all of them count, however long they take
_COMMAND_S: Final = 240.0
_MOVED: Final = "partition.moved"
_PACE: Final = Pace(requests=_ROUND, pause_s=_PAUSE_S)


def measure(
    sizes: Sequence[int], turns: Sequence[int], generator: Generator, amount: Amount, say: Say
) -> Iterator[MovePoint]:
    """Measure moves of a state of each size."""
    for entities in sizes:
        spread = f"{_FILLED},{_WRITTEN}"
        flux = OwnFlux("--shards", "1", "--partitions", str(PARTITIONS), spread=spread)
        with on_own(flux, generator, amount, say) as lab, Generator() as reader:
            say(f"scale, moving: {entities:,} entities: writing them")
            filling = Workload(
                _FILLED, _FILL_CONNECTIONS, entities, min(_FILL_BATCH, entities // _FILL_CONNECTIONS)
            )
            lab.publish(filling, Pace(requests=filling.variants))
            yield _point(lab, reader, entities, turns)


def _point(lab: Lab, reader: Generator, entities: int, turns: Sequence[int]) -> MovePoint:
    traffic = _Traffic(lab, reader)
    traffic.go_on()  # what is done for the first time
    calm = traffic.go_on()
    busy = _Waits(0.0, 0.0)
    traffic.events, traffic.seconds = 0, 0.0
    for shards in turns:
        lab.say(f"scale, moving: {entities:,} entities: {shards} shards")
        change = _Change(lab.mine, shards)
        try:
            while change.under_way:
                busy = busy.longer(traffic.go_on())
        finally:
            change.end()
    rate = traffic.events / traffic.seconds
    lab.server.settle(traffic.before, traffic.events_total)
    compare(traffic.expected, lab.server.sequences(_WRITTEN), "the state after the moves")
    told = {
        (one["partition"], one["epoch"]): one for one in lab.mine.told(_MOVED)
    }  # each is told once or twice
    moves = [Moved(float(one["seconds"]), float(one["between_ms"])) for one in told.values()]
    if not moves:
        raise Unavailable("the router told of no move")
    return MovePoint(entities, moves, rate, busy.write_ms, busy.read_ms, calm.write_ms, calm.read_ms)


class _Waits(msgspec.Struct, frozen=True):
    """The longest answers to a write and to a read."""

    write_ms: float
    read_ms: float

    def longer(self, other: _Waits) -> _Waits:
        """Return the longer of both."""
        return _Waits(max(self.write_ms, other.write_ms), max(self.read_ms, other.read_ms))


class _Traffic:
    """Writes and reads, round after round, and what must be in the state after them."""

    def __init__(self, lab: Lab, reader: Generator) -> None:
        self.before = lab.server.level()
        self.expected: dict[str, int] = {}
        self.events = self.events_total = 0
        self.seconds = 0.0
        self._lab = lab
        self._reader = reader
        self._workload = Workload(_WRITTEN, _WRITERS, lab.scale.entities, _WRITTEN_EVENTS)
        request = get(lab.place.name, f"/api/state/entities?namespace={_FILLED}&limit={_LISTED}")
        mark = f"{_FILLED}/".encode()
        self._reads = Read(lab.place, [[request]] * _READERS, [[mark]] * _READERS, _PACE, times=_LISTED)

    def go_on(self) -> _Waits:
        """Write and read for a round; return the longest waits."""
        lab, workload = self._lab, self._workload
        lab.generator.begin(Publish(lab.place, workload, _PACE))
        self._reader.begin(self._reads)
        written, read = lab.generator.end(), self._reader.end()
        if written.refusal or read.refusal:
            raise Corrupt(written.refusal or read.refusal)
        if written.latencies is None or read.latencies is None:
            raise Unavailable("nothing was answered within a round")
        self.expected |= workload.expected(written.counts)
        self._workload = msgspec.structs.replace(workload, first=workload.first + max(written.counts))
        self.events += sum(written.counts) * workload.events
        self.events_total += sum(written.counts) * workload.events
        self.seconds += written.seconds
        return _Waits(written.latencies.max_ms, read.latencies.max_ms)


class _Change:
    """`flux shards N`, which ends when all partitions have moved."""

    def __init__(self, flux: OwnFlux, shards: int) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
        self._until = time.monotonic() + _COMMAND_S
        self._output = flux.folder / "shards.out"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flux_actors", "shards", str(shards), "--data", str(flux.data)],
                env=plain,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def under_way(self) -> bool:
        """Whether it has not ended.

        Raises:
            Unavailable: it failed, or takes too long.
        """
        code = self._process.poll()
        if code is None and time.monotonic() < self._until:
            return True
        if code != 0:
            said = self._output.read_text(errors="replace").strip().splitlines()
            raise Unavailable(f"`flux shards` did not move the partitions: {said[-1] if said else 'no word'}")
        return False

    def end(self) -> None:
        """End it if it runs."""
        self._process.kill()
        self._process.wait()
