"""A door's part in a scrape."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.log.roll_call import Answerer
from flux_actors.metering import table


@pytest.fixture
async def scraping(standing, monkeypatch):
    monkeypatch.setattr(limits, "roll_wait_s", 0.01)
    monkeypatch.setattr(limits, "roll_fresh_s", 0.0)
    scraping = standing.door.scraping
    await scraping.open()
    return scraping


async def text(scraping):
    return b"".join([part async for part in scraping.text()]).decode()


async def test_it_tells_of_itself_and_of_all_who_answer(scraping, standing):
    shard = Answerer(standing.bus, "shard", "shard", [lambda: [table.RUNNING.of(1, "0")]])
    await shard.open()
    told = await text(scraping)
    assert 'flux_partition_running{process="shard",partition="0"} 1.0' in told
    assert "flux_process_info{" in told
    assert 'flux_committed_events_total{process="door-' in told
    assert 'flux_scrape_processes{role="door"} 1.0' in told
    assert 'flux_scrape_processes{role="shard"} 1.0' in told
    assert "flux_scrape_missing_processes 0.0" in told


async def test_a_shard_of_the_topology_that_does_not_answer_is_missing(scraping):
    assert "flux_scrape_missing_processes 1.0" in await text(scraping)


async def test_without_a_way_to_the_others_it_tells_of_itself(scraping, standing, monkeypatch):
    async def away(subject, data):
        raise Unavailable("away")

    monkeypatch.setattr(standing.bus, "publish", away)
    told = await text(scraping)
    assert "flux_scrape_missing_processes 1.0" in told
    assert 'flux_committed_events_total{process="door-' in told


async def test_each_metric_has_one_head_and_comes_for_itself(scraping):
    parts = [part async for part in scraping.text()]
    heads = [part.decode().splitlines()[0] for part in parts]
    assert all(head.startswith("# HELP flux_") for head in heads)
    assert len(set(heads)) == len(parts) > 20
