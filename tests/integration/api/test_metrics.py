"""`/metrics` of a real Flux: all its processes, whichever entrance is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flux_actors.metering.table import METRICS
from tests.integration.api.support import event

pytestmark = pytest.mark.real
OF_CONNECTORS = ("flux_keeper", "flux_connector")  # which nobody configured here


def scraped(client: httpx.Client) -> list[Any]:
    """Return all samples."""
    answer = client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return [s for family in text_string_to_metric_families(answer.text) for s in family.samples]


def total(samples: list[Any], name: str, **labels: str) -> float:
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


@pytest.fixture
def whole(api: httpx.Client, eventually: Callable[..., Any]) -> Callable[[], list[Any]]:
    """Scrape until nobody is missing, and all that have a part in every Flux have answered."""

    def scrape() -> list[Any]:
        found: list[Any] = []

        def complete() -> bool:
            found[:] = scraped(api)
            roles = {s.labels["role"] for s in found if s.name == "flux_scrape_processes"}
            return roles >= {"door", "shard", "router", "supervisor"} and not total(
                found, "flux_scrape_missing_processes"
            )

        eventually(complete, 10, "door, shard, router and supervisor to answer")
        return found

    return scrape


def test_all_that_every_flux_has_tell_of_themselves(whole, eventually):
    samples = whole()
    assert total(samples, "flux_partition_running") == 4
    assert total(samples, "flux_nats_connected", role="shard") == 1
    assert total(samples, "flux_router_unplaced_partitions") == 0
    assert total(samples, "flux_process_resident_memory_bytes", role="router") > 1e6
    assert total(samples, "flux_supervisor_nats_starts_total") == 1
    assert total(samples, "flux_supervisor_ray_starts_total") == 1
    wanted = {name for name in METRICS if not name.startswith(OF_CONNECTORS)}

    def told() -> set[str]:
        return {s.name.removesuffix("_bucket") for s in whole()}

    eventually(lambda: wanted <= told(), 10, "every metric of the table")


def test_what_is_published_and_read_shows(api, whole, namespace, eventually):
    before = whole()
    api.post("/api/events/batch?wait=applied", json=[event(f"{namespace}/{n}", {"a": 1}) for n in range(50)])
    api.get(f"/api/state/entities/{namespace}/1")

    def shows() -> bool:
        now = scraped(api)
        more = {
            name: total(now, name) - total(before, name)
            for name in (
                "flux_committed_events_total",
                "flux_partition_applied_events_total",
                "flux_commit_duration_seconds_count",
                "flux_apply_duration_seconds_count",
            )
        }
        reads = {"method": "GET", "route": "/api/state/entities/{entity_id}", "status": "200"}
        asked = total(now, "flux_http_requests_total", **reads) - total(
            before, "flux_http_requests_total", **reads
        )
        events, applied, commits, pulls = more.values()
        return events >= 50 and applied >= 50 and commits >= 1 and pulls >= 1 and asked >= 1

    eventually(shows, 10, "50 events and a read to show")
    text = api.get("/metrics").text
    assert namespace not in text


def test_the_second_entrance_tells_the_same(proxy, whole, eventually):
    whole()
    eventually(lambda: total(scraped(proxy), "flux_partition_running") == 4, 10)


BEHAVIOUR = """
import flux_actors as flux
class Marks(flux.Behaviour):
    match = "{space}/*"
    def on_change(self, entity, change):
        if "v" in change.properties:
            entity.emit("{space}/mark", dict(seen=1))
flux.deploy(Marks, name="{space}")
"""


@pytest.fixture
def marking(flux, namespace) -> Iterator[str]:
    """A namespace with a behaviour, which is taken away again."""
    flux.as_driver(BEHAVIOUR.format(space=namespace))
    yield namespace
    flux.as_driver(f"import flux_actors as flux\nflux.remove('{namespace}')")


def test_processes_of_behaviours_and_of_the_past_tell_while_there_are_some(api, marking, eventually):
    written = api.post("/api/events?wait=applied", json=event(f"{marking}/e", {"v": 1})).raise_for_status()
    position = written.headers["flux-position"]
    eventually(lambda: api.get(f"/api/state/entities/{marking}/mark").is_success, 60, "the mark")
    api.get(f"/api/state/entities?namespace={marking}&at={position}", timeout=60).raise_for_status()

    def told() -> set[str]:
        return {s.labels["role"] for s in scraped(api) if s.name == "flux_process_info"}

    eventually(lambda: told() >= {"worker", "teller"}, 30, "both to tell")
