"""Events that are traced, on their way through a shard: one span each, from the pull to the feed.

Only a running partition has a tracer look at its pulls: what a recovery replays was told already.
"""

from __future__ import annotations

from opentelemetry.trace import Span, SpanKind

from flux_actors.domain.position import pack
from flux_actors.log.ports import StoredBlock
from flux_actors.shard.partition import HostedPartition
from flux_actors.tracing.beside import read_beside
from flux_actors.tracing.traces import Traces, parent_of


class ShardTracer:
    """A `PullTracer`."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._spans: dict[int, list[Span]] = {}  # of the pull that is applied, by partition

    def begin(self, host: HostedPartition, blocks: list[StoredBlock]) -> None:
        """Begin the spans of a pull, and have its feed message name them."""
        spans = self._spans[host.partition] = []
        host.followed = []
        for block in blocks:
            for one in read_beside(block.beside) if block.beside else ():
                facts = {"flux.partition": host.partition, "flux.sequence": block.sequence}
                facts |= {"flux.offset": one.offset, "flux.events": one.events, "flux.epoch": host.epoch}
                span = self._traces.begin("apply", SpanKind.CONSUMER, one.parent, facts)
                if span is not None:
                    spans.append(span)
                    host.followed.append((pack(block.sequence, one.offset), one.events, parent_of(span)))

    def end(self, host: HostedPartition) -> None:
        """End them."""
        host.followed = []
        for span in self._spans.pop(host.partition, []):
            span.end()
