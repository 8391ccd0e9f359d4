"""Feeds whose traced events get their last span: from a door's hearing of them to the sockets that watch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import SpanKind

from flux_actors import limits
from flux_actors.domain.change import HeardFeed
from flux_actors.feed.feeds import Feeds
from flux_actors.tracing.traces import Traces


class TracedFeeds(Feeds):
    """Feeds of a door whose events are traced."""

    def __init__(self, traces: Traces, watchers: Callable[[], int], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._traces = traces
        self._watchers = watchers

    def _tell(self, message: HeardFeed, place: int) -> None:
        began_ns = time.time_ns()
        super()._tell(message, place)
        for position, events, parent in message.followed:
            sequence = position >> limits.offset_bits
            if sequence > place:
                facts = {"flux.partition": message.partition, "flux.sequence": sequence}
                facts |= {"flux.events": events, "flux.watchers": self._watchers()}
                span = self._traces.begin("tell", SpanKind.CONSUMER, parent, facts, began_ns)
                if span is not None:
                    span.end()
