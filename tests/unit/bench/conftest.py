"""A small server and a small laboratory for tests of the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
import uvloop

from flux_actors.errors import Unavailable
from flux_bench.generator.__main__ import do
from flux_bench.generator.jobs import Failed, Job, Told
from flux_bench.lab import Lab, Scale
from flux_bench.server import Server
from tests.unit.bench.fake_flux import FakeFlux, running

TINY = Scale(
    seconds=0.0,
    requests=3,
    warm_up_s=0.0,
    entities=40,
    large_entities=40,
    window=4,
    samples=3,
    snapshot_s=0.0,
    idle_s=0.0,
)


class HereGenerator:
    """The generator's work done in this process, for its own takes a third of a second to start."""

    def run(self, job: Job) -> Told:
        try:
            return uvloop.run(do(job))
        except Failed as failure:
            raise Unavailable(str(failure)) from None


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeFlux]]:
    """Run a small server that has these faults."""
    with ExitStack() as stack:
        yield lambda *faults: stack.enter_context(running(FakeFlux(*faults)))


@pytest.fixture
def lab_on(serve: Callable[..., FakeFlux]) -> Iterator[Callable[..., Lab]]:
    """Open a laboratory on a small server that has these faults."""
    with ExitStack() as stack:

        def lab(*faults: str) -> Lab:
            server = stack.enter_context(closing(Server(serve(*faults).url, settle_s=0.05)))
            return Lab(server, HereGenerator(), TINY)  # type: ignore[arg-type]

        yield lab
