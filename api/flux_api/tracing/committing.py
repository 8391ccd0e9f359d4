"""Publishing events that are traced: a span for the log's share, and its name beside the block.

An event is followed when it goes to its committer within the call that its request made. One that waits for
its namespace's budget before it goes is not: by then its request is one of many that wait for the same
answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.trace import Span, SpanKind

from flux_actors import limits
from flux_actors.domain.event import Event
from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.committer import Committer, Outcome, Piece, Settled
from flux_actors.log.ports import EventLog, TracedLog
from flux_actors.tenancy.principal import Principal
from flux_actors.tracing.beside import Beside, text_beside
from flux_actors.tracing.traces import Traces, fail, parent_of
from flux_api.publishing import Outcome as Published
from flux_api.publishing import Publisher
from flux_api.submission import Submission
from flux_api.tenancy import now_us
from flux_api.tracing.current import request_span


class _Carrier:
    """The span whose events are on their way to a committer at this moment."""

    span: Span | None = None


class _Followed:
    """A `Settled` of a piece that is followed."""

    __slots__ = ("_settled", "parent")

    def __init__(self, settled: Settled, parent: str) -> None:
        self._settled = settled
        self.parent = parent

    def __call__(self, outcome: Outcome) -> None:
        self._settled(outcome)


class TracedCommitter(Committer):
    """A committer that tells the log which events are followed."""

    def __init__(
        self, log: TracedLog, traces: Traces, carrier: _Carrier, *arguments: Any, **more: Any
    ) -> None:
        super().__init__(log, *arguments, **more)
        self._traced_log = log
        self._traces = traces
        self._carrier = carrier
        self._beside = ""  # of the one block that is in flight

    def put(self, data: bytes, count: int, settled: Settled, *, termed: bool = False) -> None:
        """Have a piece committed, and followed if its request is."""
        span = self._carrier.span
        super().put(
            data, count, settled if span is None else _Followed(settled, parent_of(span)), termed=termed
        )

    async def _append(self, pieces: list[Piece]) -> int | Unavailable:
        spans = self._spans(pieces)
        self._beside = text_beside(
            [Beside(offset, events, parent_of(span)) for offset, events, span in spans]
        )
        outcome = await super()._append(pieces)
        self._beside = ""
        for _, _, span in spans:
            if isinstance(outcome, Unavailable):
                fail(span, outcome.message)
            else:
                span.set_attribute("flux.sequence", outcome)
            span.end()
        return outcome

    def _send(self, data: bytes, block_id: str) -> Awaitable[int]:
        return self._traced_log.append(self._partition, data, block_id, limits.append_timeout_s, self._beside)

    def _spans(self, pieces: list[Piece]) -> list[tuple[int, int, Span]]:
        """Begin a span for each piece that is followed, up to what a header may hold."""
        found: list[tuple[int, int, Span]] = []
        offset = 0
        for piece in pieces:
            if isinstance(piece.settled, _Followed) and len(found) < limits.followed_max:
                facts = {
                    "flux.partition": self._partition,
                    "flux.offset": offset,
                    "flux.events": piece.events,
                }
                span = self._traces.begin("append", SpanKind.PRODUCER, piece.settled.parent, facts)
                if span is not None:
                    found.append((offset, piece.events, span))
            offset += piece.events
        return found


class TracedPublisher(Publisher):
    """A publisher whose committers know which request an event is from."""

    def __init__(self, log: TracedLog, traces: Traces, *arguments: Any) -> None:
        self._traced_log = log
        self._traces = traces
        self._carrier = _Carrier()
        super().__init__(log, *arguments)

    def submit_event(self, event: Event, principal: Principal, done: Callable[[Published], None]) -> None:
        """Publish one event of the request that this call is from."""
        self._carrier.span = request_span.get()
        try:
            super().submit_event(event, principal, done)
        finally:
            self._carrier.span = None

    def submit_events(
        self, events: list[Event | FluxError], principal: Principal, done: Callable[[Submission], None]
    ) -> None:
        """Publish many events of the request that this call is from."""
        self._carrier.span = request_span.get()
        try:
            super().submit_events(events, principal, done)
        finally:
            self._carrier.span = None

    def _committer(self, log: EventLog, partition: int, identity: int) -> Committer:
        del log
        return TracedCommitter(
            self._traced_log,
            self._traces,
            self._carrier,
            partition,
            identity,
            now_us,
            meter=self.meter,
        )
