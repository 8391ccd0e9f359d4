"""What a case works with: a server, a generator, a meter, and the proof of what it measured."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flux_actors.errors import Corrupt, Unavailable
from flux_bench.generating import Generator
from flux_bench.generator.jobs import Job, Pace, Place, Publish, Told
from flux_bench.large import LargeState
from flux_bench.metering import Meter, loopback_bytes
from flux_bench.own_flux import OwnFlux
from flux_bench.server import Server
from flux_bench.workload import Workload

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done."""

    seconds: float = 4.0  # measured, of each repetition; 0: by `requests`
    requests: int = 0  # of each connection; 0: as many as there is time for
    warm_up_s: float = 1.0
    entities: int = 10_000  # written or read by a case
    large_entities: int = 200_000  # of the large state
    large_rounds: int = 3  # how often each of them is written
    memory_entities: int = 100_000
    window: int = 1_000  # events under way on one socket: two blocks of the log in the making
    samples: int = 500  # of a latency that is measured one by one
    snapshot_s: float = 60.0  # how long a snapshot is waited for
    idle_s: float = 3.0

    @property
    def pace(self) -> Pace:
        """The pace of a run whose rate is measured."""
        return Pace(self.seconds, self.warm_up_s, self.requests)


FULL = Scale()
QUICK = Scale(
    seconds=0.3,
    warm_up_s=0.1,
    entities=200,
    large_entities=2_000,
    memory_entities=2_000,
    samples=20,
    snapshot_s=0.5,
    idle_s=0.2,
)


@dataclass(slots=True)
class Lab:
    """One server under measurement; `own` if the benchmark started it."""

    server: Server
    generator: Generator
    scale: Scale
    own: OwnFlux | None = None
    say: Say = lambda _: None
    made: list[str] = field(default_factory=list)  # ids that were written
    _large: LargeState | None = None
    cpu_s: dict[str, float] = field(default_factory=dict)  # of the last job, by part
    sent: dict[str, int] = field(default_factory=dict)  # bytes in it: all of this machine, and nats-server
    generator_share: float = 0.0  # of a core, in the last job
    _names: Iterator[int] = field(default_factory=itertools.count)
    _mark: str = field(default_factory=lambda: secrets.token_hex(3))

    @property
    def place(self) -> Place:
        """Where the server listens."""
        return self.server.place

    @property
    def mine(self) -> OwnFlux:
        """The Flux that the benchmark started.

        Raises:
            Unavailable: somebody else did.
        """
        if self.own is None:
            raise Unavailable("needs a Flux that the benchmark starts itself")
        return self.own

    @property
    def large(self) -> LargeState:
        """The large state; it is made when a case first asks for it."""
        if self._large is None:
            self._large = LargeState(self.namespace(), self.scale.large_entities)
            self._large.fill(self, self.scale.large_rounds)
        if not self._large.whole:
            raise Unavailable("the large state could not be made")
        return self._large

    def namespace(self) -> str:
        """Return a namespace that nobody has used."""
        return f"bench-{self._mark}-{next(self._names)}"

    def run(self, job: Job) -> Told:
        """Do a job; afterwards `cpu_s` is what it cost each part.

        Raises:
            Corrupt: an answer was not as it must be.
        """
        meter = Meter(self.own.run.run_id) if self.own is not None else None
        sent = loopback_bytes()
        started = time.perf_counter()
        told = self.generator.run(job)
        self.generator_share = told.cpu_s / (time.perf_counter() - started)
        self.cpu_s = meter.cpu_s() if meter is not None else {}
        self.cpu_s["generator"] = told.cpu_s
        self.sent = {"network": loopback_bytes() - sent, "log": meter.log_bytes() if meter is not None else 0}
        if told.refusal:
            raise Corrupt(told.refusal)
        if not told.done:
            raise Unavailable("nothing was answered within the time that was measured")
        return told

    def cpu_us(self, events: int) -> dict[str, float]:
        """Return what the last job cost each part for each of its `events`, in microseconds."""
        return {part: seconds * 1e6 / max(events, 1) for part, seconds in self.cpu_s.items()}

    def sent_bytes(self, events: int) -> dict[str, float]:
        """Return how many bytes went between processes for each of the last job's `events`."""
        return {what: size / max(events, 1) for what, size in self.sent.items()}

    @contextmanager
    def counting(self, added: Callable[[], int]) -> Iterator[None]:
        """Check that the state afterwards holds just the events that `added` tells more than before."""
        before = self.server.level()
        yield
        self.server.settle(before, added())

    def publish(self, workload: Workload, pace: Pace) -> Told:
        """Publish over HTTP, and prove that each acknowledged event was applied once and in order."""
        told = Told([], 0, 0)
        with self.counting(lambda: sum(told.counts) * workload.events):
            told = self.run(Publish(self.place, workload, pace))
        self.verify(workload, told.counts)
        return told

    def verify(self, workload: Workload, counts: list[int]) -> None:
        """Check that the state is what `counts` acknowledged requests make.

        Raises:
            Corrupt: an entity is missing, is too many, or has another value.
        """
        expected = workload.expected(counts)
        self.made += expected
        compare(expected, self.server.sequences(workload.namespace), "the state")

    def prepare(self, entities: int, namespace: str | None = None) -> Workload:
        """Write entities for a case that reads; return what was written."""
        workload = Workload(namespace or self.namespace(), 4, entities, min(500, -(-entities // 4)))
        self.publish(workload, Pace(requests=workload.variants))
        return workload

    def tidy(self) -> None:
        """Delete what was written to a server that somebody else started."""
        if self.own is None and self.made:
            self.say(f"deleting {len(self.made):,} entities")
            self.server.delete(self.made)
        self.made.clear()


def compare(expected: dict[str, int], found: dict[str, int], where: str) -> None:
    """Fail unless both hold the same.

    Raises:
        Corrupt: they do not; the text names the first difference.
    """
    if found == expected:
        return
    for entity_id, value in expected.items():
        if found.get(entity_id) != value:
            what = f"{found[entity_id]}" if entity_id in found else "missing"
            raise Corrupt(f"in {where} {entity_id} is {what}, but {value} was acknowledged last")
    extra = next(iter(found.keys() - expected.keys()))
    raise Corrupt(f"in {where} there is {extra}, which was not acknowledged")


def wait(seconds: float) -> None:
    """Let time pass: an idle system is what is measured."""
    time.sleep(seconds)
