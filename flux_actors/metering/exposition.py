"""Reports as the text that Prometheus reads, a metric at a time, so that the whole of it holds nobody up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family

from flux_actors.metering.samples import Kind, Metric, Report, Sample
from flux_actors.metering.table import METRICS, OF_SCRAPE

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_PROCESS: Final = "process"
_INFINITY: Final = "+Inf"


class _Registry:
    """A registry of one metric, for the library writes whole registries."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterator[Family]:
        """Yield the metric."""
        yield self._family


def exposition(reports: Iterable[Report], of_scrape: Iterable[Sample] = ()) -> Iterator[bytes]:
    """Yield the text of each metric that somebody told, in the order of the table.

    What this version of Flux does not know, or knows in another shape, is left out: another process may be
    newer.
    """
    found: dict[str, list[tuple[list[str], Sample]]] = {}
    for report in reports:
        for sample in report.samples:
            if _fits(sample) and sample.name not in OF_SCRAPE:
                found.setdefault(sample.name, []).append(([report.process], sample))
    for sample in of_scrape:
        found.setdefault(sample.name, []).append(([], sample))
    for name, metric in METRICS.items():
        if name in found:
            yield generate_latest(_Registry(_family(metric, found[name])))


def _fits(sample: Sample) -> bool:
    metric = METRICS.get(sample.name)
    if metric is None or len(sample.labels) != len(metric.labels):
        return False
    if metric.kind is Kind.HISTOGRAM:
        return sample.counts is not None and len(sample.counts) == len(metric.bounds) + 1
    return sample.counts is None


def _family(metric: Metric, found: list[tuple[list[str], Sample]]) -> Family:
    names = [*([] if metric.name in OF_SCRAPE else [_PROCESS]), *metric.labels]
    match metric.kind:
        case Kind.COUNTER:
            counter = CounterMetricFamily(metric.name, metric.text, labels=names)
            for process, sample in found:
                counter.add_metric(process + sample.labels, sample.value)
            return counter
        case Kind.GAUGE:
            gauge = GaugeMetricFamily(metric.name, metric.text, labels=names)
            for process, sample in found:
                gauge.add_metric(process + sample.labels, sample.value)
            return gauge
        case Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(metric.name, metric.text, labels=names)
            for process, sample in found:
                buckets = _buckets(metric.bounds, sample.counts or [])
                histogram.add_metric(process + sample.labels, buckets, sample.value)
            return histogram


def _buckets(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    """Return how many observations came up to each bound, those up to lower ones included."""
    reached = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip([*map(repr, bounds), _INFINITY], counts, strict=True):
        reached += count
        buckets.append((bound, reached))
    return buckets
