"""What a door tells of itself."""

from __future__ import annotations

import pytest

from flux_actors.errors import Unavailable
from flux_actors.metering import table
from flux_actors.metering.table import METRICS
from flux_api.connections import Bounds, Connections
from flux_api.hot.heads import Route
from flux_api.hot.tally import HotTally
from tests.unit.api.standing import event, settle


def told(door):
    return {(sample.name, *sample.labels): sample for sample in door.meter.samples()}


def value(door, metric, *labels):
    return told(door)[metric.name, *labels].value


async def test_publishes_show_as_events_blocks_and_their_latency(standing):
    await standing.publish(event("n/a", {"v": 1}), event("n/b", {"v": 1}))
    door = standing.door
    assert value(door, table.COMMITTED_EVENTS) == 2
    assert value(door, table.COMMITTED_BLOCKS) >= 1
    assert sum(told(door)[table.COMMIT_SECONDS.name,].counts) == value(door, table.COMMITTED_BLOCKS)
    assert value(door, table.BLOCK_EVENTS) == 2
    assert value(door, table.QUEUE_EVENTS) == value(door, table.COMMIT_FAILURES) == 0


async def test_reads_show_as_hits_and_misses(standing, client):
    await standing.publish(event("n/a", {"v": 1}))
    door = standing.door
    for _ in range(3):
        await client.get("/api/state/entities/n/a")
    await client.post("/api/state/entities/get", json={"ids": ["n/a", "n/other"]})
    assert (value(door, table.VIEW_HITS), value(door, table.VIEW_MISSES)) == (3, 2)
    assert value(door, table.VIEW_ENTITIES) == 2


async def test_requests_of_all_ways_are_added_up(standing, client):
    await client.get("/api/health")
    hot, crowd = HotTally(), Connections()
    hot.entities = 4
    hot.posts[Route.EVENT] = 5
    crowd.count_refusal(408)
    standing.door.meter.see_listener(hot, crowd)
    door = standing.door
    assert value(door, table.REQUESTS, "GET", "/api/health", "200") == 1
    assert value(door, table.REQUESTS, "GET", "/api/state/entities/{entity_id}", "200") == 4
    assert value(door, table.REQUESTS, "POST", "/api/events", "200") == 5
    assert value(door, table.REQUESTS, "none", "none", "408") == 1
    assert value(door, table.VIEW_HITS) == 4
    assert sum(told(door)[table.REQUEST_SECONDS.name, "/api/health"].counts) == 1


async def test_who_finds_no_place_is_counted(standing):
    crowd = Connections(Bounds(connections=1, sockets=0))
    standing.door.meter.see_listener(HotTally(), crowd)
    assert crowd.enter("a") is None
    assert isinstance(crowd.enter("b"), Unavailable)
    assert isinstance(crowd.open_socket(), Unavailable)
    assert value(standing.door, table.CONNECTIONS) == 1
    assert value(standing.door, table.REFUSED_CONNECTIONS) == 2


async def test_gaps_of_feeds_are_counted_and_losses_among_them(standing):
    door = standing.door
    part = door.feeds.parts[0]
    part.gaps, part.losses, part.heard_at = 2, 1, float("-inf")
    await settle()
    assert (value(door, table.FEED_GAPS), value(door, table.FEED_LOSSES)) == (2, 1)


async def test_every_metric_of_it_is_in_the_table_with_as_many_labels(standing, client):
    await client.get("/api/health")
    standing.door.meter.see_listener(HotTally(), Connections())
    for sample in standing.door.meter.samples():
        assert len(sample.labels) == len(METRICS[sample.name].labels), sample.name


async def test_no_label_tells_of_a_namespace_or_an_entity(tenants):
    client_paths = ["vault/x", "acme/x", "vault/kitchen/x"]
    door = tenants.standing.door
    for entity_id in client_paths:
        door.requests.count("GET", "/api/state/entities/{entity_id}", 404, 0.001)
        await door.view.get(entity_id)
    labels = " ".join(label for sample in door.meter.samples() for label in sample.labels)
    assert "vault" not in labels
    assert "acme" not in labels
    assert value(door, table.TENANCY_AGE) >= 0


@pytest.mark.parametrize(
    "metric", [table.WATCHERS, table.SLOW_WATCHERS, table.OWED_ENTITIES, table.FANNED_OUT]
)
async def test_without_watchers_there_is_nothing_to_tell_of_them(standing, metric):
    assert value(standing.door, metric) == 0
