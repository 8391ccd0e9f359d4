"""Opening a laboratory: on a Flux that is started for it, or on a server that runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from flux_bench.generating import Generator
from flux_bench.lab import Lab, Say, Scale
from flux_bench.own_flux import OwnFlux
from flux_bench.server import Server


@contextmanager
def on_own(flux: OwnFlux, generator: Generator, scale: Scale, say: Say) -> Iterator[Lab]:
    """Start a Flux and yield a laboratory on it; it is stopped and removed afterwards."""
    say("starting a Flux")
    with flux, closing(Server(flux.url)) as server:
        server.without_rate_limit()
        yield Lab(server, generator, scale, flux, say)


@contextmanager
def on_url(url: str, admin_token: str | None, generator: Generator, scale: Scale, say: Say) -> Iterator[Lab]:
    """Yield a laboratory on a running server; its rate limit is switched off meanwhile.

    What was written is deleted at the end.
    """
    with ExitStack() as stack:
        server = stack.enter_context(closing(Server(url, admin_token)))
        if before := server.without_rate_limit():
            stack.callback(server.configure, before)
        lab = Lab(server, generator, scale, None, say)
        stack.callback(lab.tidy)
        yield lab


@contextmanager
def nowhere(generator: Generator, scale: Scale, say: Say) -> Iterator[Lab]:
    """Yield a laboratory for cases that need no server, or start their own."""
    with closing(Server("http://127.0.0.1:9")) as server:  # the discard port: nobody answers there
        yield Lab(server, generator, scale, None, say)
