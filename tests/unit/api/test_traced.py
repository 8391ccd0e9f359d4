"""Which parts a door is made of."""

from __future__ import annotations

from flux_actors import limits
from flux_actors.feed.feeds import Feeds
from flux_actors.log.committer import Committer
from flux_api.app import build_app
from flux_api.hot.routes import HotRoutes
from flux_api.publishing import Publisher
from flux_api.traced import hot_routes_for
from flux_api.tracing.committing import TracedCommitter, TracedPublisher
from flux_api.tracing.hearing import TracedFeeds
from flux_api.tracing.requests import TracedHotRoutes, TracedRequests
from tests.unit.api.standing import Standing
from tests.unit.tracing.collector import Kept


def kinds(door):
    """Return the classes of the parts that may follow events."""
    app = build_app(door.settings, door)
    follows = TracedRequests in {middleware.cls for middleware in app.user_middleware}
    parts = (door.publisher, door.publisher.committers[0], door.feeds, hot_routes_for(door))
    return [*map(type, parts), follows]


async def test_without_traces_they_are_the_plain_ones(standing):
    assert kinds(standing.door) == [Publisher, Committer, Feeds, HotRoutes, False]


async def test_with_traces_all_of_them_follow(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(traces=Kept().traces)
    assert kinds(standing.door) == [TracedPublisher, TracedCommitter, TracedFeeds, TracedHotRoutes, True]
    await standing.down()
