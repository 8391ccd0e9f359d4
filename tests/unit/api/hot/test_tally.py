"""What the hot way has answered, by route and status."""

from __future__ import annotations

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_api.hot.heads import Route
from flux_api.hot.tally import HotTally
from tests.unit.api.hot.test_same_answers import get, post, text
from tests.unit.api.hot.two_ways import TwoWays
from tests.unit.api.standing import Standing, event, settle

ENTITY = "/api/state/entities/{entity_id}"


def test_successes_and_refusals_stand_side_by_side():
    tally = HotTally()
    tally.entities = 3
    tally.posts[Route.BATCH] = 2
    tally.refused(Route.EVENT, Refused("no", 409))
    tally.refused(Route.EVENT, Unavailable("away"))
    tally.refused(Route.EVENT, Unavailable("away"))
    assert tally.answers() == {
        ("GET", ENTITY, 200): 3,
        ("POST", "/api/events/batch", 200): 2,
        ("POST", "/api/events", 409): 1,
        ("POST", "/api/events", 503): 2,
    }


@pytest.fixture
async def ways(standing: Standing) -> TwoWays:
    await standing.publish(event("n/e", {"v": 1}))
    return TwoWays(standing)


async def test_each_request_counts_once_whichever_way_it_went(ways: TwoWays, standing: Standing):
    requests = [
        get("n/e"),
        post("/api/events", text(event("n/e", {"v": 2}))),
        post("/api/events/batch", text([event("n/e", {"v": 3})])),
        post("/api/state/entities/get", b'{"ids":["n/e"]}'),
        post("/api/events", text(event("n/e", {"v": 2}) | {"stream": "NO"})),
    ]
    way = ways.hot_way()
    rounds = 3
    for _ in range(rounds):
        for request in requests:
            await way.send(request)
        await settle()
    answers = dict(standing.door.requests.answers)
    for key, count in ways.hot.tally.answers().items():
        answers[key] = answers.get(key, 0) + count
    assert answers == {
        ("GET", ENTITY, 200): rounds,
        ("POST", "/api/events", 200): rounds,
        ("POST", "/api/events", 400): rounds,
        ("POST", "/api/events/batch", 200): rounds,
        ("POST", "/api/state/entities/get", 200): rounds,
    }
    assert sum(ways.hot.tally.answers().values()) >= len(requests)  # they did go the hot way
