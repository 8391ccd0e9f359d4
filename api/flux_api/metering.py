"""What a door tells of itself: requests, the log's share of them, its view, its feeds, its watchers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flux_actors.feed.feeds import PartitionFeed
from flux_actors.metering import table
from flux_actors.metering.samples import Sample
from flux_api.connections import Connections
from flux_api.hot.tally import HotTally
from flux_api.hub import Hub
from flux_api.publishing import Publisher
from flux_api.request_tally import NO_ROUTE, Answers, RequestTally
from flux_api.tenancy import TenancyKeeper
from flux_api.view import LiveView

_UNREAD = "none"  # the method of a request that was refused before it was read


class DoorMeter:
    """Looks at the parts of one door."""

    def __init__(
        self,
        publisher: Publisher,
        view: LiveView,
        hub: Hub,
        parts: Sequence[PartitionFeed],
        tenancy: TenancyKeeper,
        requests: RequestTally,
    ) -> None:
        self._publisher = publisher
        self._view = view
        self._hub = hub
        self._parts = parts
        self._tenancy = tenancy
        self._requests = requests
        self._hot: HotTally | None = None
        self._crowd: Connections | None = None

    def see_listener(self, hot: HotTally, crowd: Connections) -> None:
        """Look at a listener, too: at what it answers by itself, and at who is connected."""
        self._hot, self._crowd = hot, crowd

    def samples(self) -> Iterator[Sample]:
        """Yield what there is to tell now."""
        yield from self._of_requests()
        yield from self._of_commits()
        yield from self._of_reads()
        yield from self._of_watchers()
        yield table.TENANCY_AGE.of(self._tenancy.age_s)

    def _of_requests(self) -> Iterator[Sample]:
        for (method, route, status), count in self._answers().items():
            yield table.REQUESTS.of(count, method, route, str(status))
        yield table.REQUEST_FAULTS.of(self._requests.faults)
        for route, took_s in self._requests.took_s.items():
            yield table.REQUEST_SECONDS.seen_by(took_s, route)
        crowd = self._crowd
        if crowd is not None:
            yield table.CONNECTIONS.of(crowd.total)
            yield table.SOCKETS.of(crowd.sockets)
            yield table.REFUSED_CONNECTIONS.of(crowd.refused_total)

    def _answers(self) -> Answers:
        """Return all requests: the ordinary way's, the hot way's, and those that had no route yet."""
        counts = dict(self._requests.answers)
        more = self._hot.answers() if self._hot is not None else {}
        if self._crowd is not None:
            more |= {(_UNREAD, NO_ROUTE, status): count for status, count in self._crowd.refusals.items()}
        for key, count in more.items():
            counts[key] = counts.get(key, 0) + count
        return counts

    def _of_commits(self) -> Iterator[Sample]:
        committers, meter = self._publisher.committers, self._publisher.meter
        waiting = [committer.waiting for committer in committers]
        yield table.COMMITTED_EVENTS.of(sum(committer.events_total for committer in committers))
        yield table.COMMITTED_BLOCKS.of(sum(committer.blocks_total for committer in committers))
        yield table.COMMIT_SECONDS.seen_by(meter.commit_s)
        yield table.APPEND_SECONDS.seen_by(meter.append_s)
        yield table.BLOCK_EVENTS.seen_by(meter.block_events)
        yield table.BLOCK_BYTES.seen_by(meter.block_bytes)
        yield table.APPEND_RETRIES.of(meter.retries)
        yield table.COMMIT_FAILURES.of(meter.failures)
        yield table.QUEUE_EVENTS.of(sum(events for events, _ in waiting))
        yield table.QUEUE_BYTES.of(sum(size for _, size in waiting))

    def _of_reads(self) -> Iterator[Sample]:
        hot_hits = self._hot.entities if self._hot is not None else 0
        yield table.VIEW_ENTITIES.of(len(self._view))
        yield table.VIEW_HITS.of(self._view.hits + hot_hits)
        yield table.VIEW_MISSES.of(self._view.misses)
        yield table.FEED_GAPS.of(sum(part.gaps for part in self._parts))
        yield table.FEED_LOSSES.of(sum(part.losses for part in self._parts))
        yield table.FEED_UNREADY.of(sum(not part.ready for part in self._parts))

    def _of_watchers(self) -> Iterator[Sample]:
        hub = self._hub
        yield table.WATCHERS.of(len(hub.watchers))
        yield table.SLOW_WATCHERS.of(hub.slow)
        yield table.CONFLATIONS.of(hub.conflations)
        yield table.OWED_ENTITIES.of(hub.owed_entities)
        yield table.FANNED_OUT.of(hub.fanned_out)
