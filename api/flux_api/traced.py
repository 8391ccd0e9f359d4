"""Which parts a door is made of: plain ones, or such as follow events.

The latter are loaded only where traces are on. So what is not traced runs the very code that it would run if
there were no traces at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import FastAPI

from flux_actors.domain.partitioning import Partitioning
from flux_actors.feed.decisions import Decided
from flux_actors.feed.feeds import FeedListener, Feeds, PartitionFeed
from flux_actors.feed.shard_calls import ShardCalls
from flux_actors.log.ports import Bus, TracedLog
from flux_actors.tenancy.registry import Registry
from flux_api.hub import Hub
from flux_api.publishing import Publisher
from flux_api.rates import Rates

if TYPE_CHECKING:
    from flux_actors.tracing.traces import Traces
    from flux_api.door import Door
    from flux_api.hot.routes import HotRoutes


def feeds_for(
    traces: Traces | None,
    hub: Hub,
    parts: list[PartitionFeed],
    bus: Bus,
    shards: ShardCalls,
    listener: FeedListener,
    on_sources: Callable[[list[str]], None],
) -> Feeds:
    """Return the feeds of a door whose watchers are at `hub`."""
    if traces is None:
        return Feeds(parts, bus, shards, listener, on_sources)
    from flux_api.tracing.hearing import TracedFeeds  # noqa: PLC0415 - loaded only where traces are on

    return TracedFeeds(traces, lambda: len(hub.watchers), parts, bus, shards, listener, on_sources)


def publisher_for(
    traces: Traces | None,
    log: TracedLog,
    partitioning: Partitioning,
    registry: Registry,
    rates: Rates,
    decided: Decided,
) -> Publisher:
    """Return the publisher of a door."""
    if traces is None:
        return Publisher(log, partitioning, registry, rates, decided)
    from flux_api.tracing.committing import TracedPublisher  # noqa: PLC0415 - loaded only where traces are on

    return TracedPublisher(log, traces, partitioning, registry, rates, decided)


def hot_routes_for(door: Door) -> HotRoutes:
    """Return the hot way of a door."""
    if door.traces is None:
        from flux_api.hot.routes import HotRoutes  # noqa: PLC0415 - it knows the door, which knows this module

        return HotRoutes(door)
    from flux_api.tracing.requests import TracedHotRoutes  # noqa: PLC0415 - loaded only where traces are on

    return TracedHotRoutes(door.traces, door)


def follow_requests(app: FastAPI, traces: Traces) -> None:
    """Have the requests of an app followed."""
    from flux_api.tracing.requests import TracedRequests  # noqa: PLC0415 - loaded only where traces are on

    app.add_middleware(TracedRequests, traces=traces)
