"""Requests by method, route and status: as many labels as the code has routes, whatever clients ask for."""

from __future__ import annotations

import pytest

from flux_actors.errors import Unavailable
from flux_api.request_tally import RequestTally
from tests.unit.api.standing import event


@pytest.fixture
def answers(standing):
    return standing.door.requests.answers


async def test_an_answer_counts_under_its_route_as_it_is_declared(client, answers):
    await client.get("/api/state/entities/n/no-such-entity")
    await client.get("/api/state/entities/n%2Fno-other")
    await client.post("/api/events", json=event("n/e", {"a": 1}))
    await client.post("/api/events", content=b"{")
    assert answers == {
        ("GET", "/api/state/entities/{entity_id}", 404): 2,
        ("POST", "/api/events", 200): 1,
        ("POST", "/api/events", 400): 1,
    }


async def test_what_has_no_route_has_one_name_for_all(client, answers):
    for path in ("/", "/x", "/api/y", "/api%2Fevents"):
        await client.get(path)
    await client.request("BREW", "/api/events")
    assert answers[("GET", "none", 404)] == 4
    assert [key for key in answers if key[0] == "OTHER"] != []
    assert len(answers) == 2


async def test_a_fault_counts_as_what_the_client_was_told_and_as_a_fault(client, standing, monkeypatch):
    def broken(self):
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(type(standing.door), "health", broken)
    answer = await client.get("/api/health")
    assert answer.status_code == 503
    assert standing.door.requests.answers == {("GET", "/api/health", 503): 1}
    assert standing.door.requests.faults == 1


async def test_what_is_away_is_no_fault(client, standing, monkeypatch):
    def away(self):
        raise Unavailable("away")

    monkeypatch.setattr(type(standing.door), "health", away)
    assert (await client.get("/api/health")).status_code == 503
    assert standing.door.requests.faults == 0


async def test_the_time_to_an_answer_is_kept_by_route(client, standing):
    await client.get("/api/health")
    await client.get("/api/health")
    assert sum(standing.door.requests.took_s["/api/health"].counts) == 2


def test_each_key_counts_for_itself():
    tally = RequestTally()
    tally.count("GET", "/a", 200, 0.001)
    tally.count("GET", "/a", 200, 0.001)
    tally.count("GET", "/a", 404, 0.001)
    assert tally.answers == {("GET", "/a", 200): 2, ("GET", "/a", 404): 1}
