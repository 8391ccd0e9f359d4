"""`?at=` on the real engine: entities and lists as they were, told by the short way and by folding again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from flux_actors import limits
from tests.busy import busy
from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
ENTITIES = "/api/state/entities"
MORE_THAN_KEPT = 1_100


def told(answer):
    return (answer.status_code, answer.json(), answer.headers.get("etag"))


@pytest.fixture
def lives(api, namespace, publish):
    """Publish three lives of the namespace's entity `e`: `(position, answer)` behind each event."""
    found = []
    for n in range(9):
        properties = {"__deleted__": True} if n % 3 == 2 else {"n": n, f"p{n}": n}
        done = publish(f"{namespace}/e", properties)
        found.append((done.headers["Flux-Position"], api.get(f"{ENTITIES}/{namespace}/e")))
    return found


def test_an_entity_is_told_as_it_was_at_each_position_and_time(api, namespace, lives):
    for position, then in lives:
        assert told(api.get(f"{ENTITIES}/{namespace}/e", params={"at": position})) == told(then)
        if then.status_code == 200:
            at = then.json()["lastUpdated"]
            assert told(api.get(f"{ENTITIES}/{namespace}/e", params={"at": at})) == told(then)
    assert_error(api.get(f"{ENTITIES}/{namespace}/e", params={"at": "1990-01-01T00:00:00Z"}), 404)


def test_an_entity_with_more_events_than_are_kept_is_told_from_the_log(api, namespace):
    api.post("/api/events/batch", json=[event(f"{namespace}/e", {f"p{n % 7}": n}) for n in range(5)])
    first = api.headers["Flux-Position"]
    then = api.get(f"{ENTITIES}/{namespace}/e")
    api.post("/api/events/batch", json=[event(f"{namespace}/e", {"n": n}) for n in range(MORE_THAN_KEPT)])
    assert told(api.get(f"{ENTITIES}/{namespace}/e", params={"at": first})) == told(then)
    at = then.json()["lastUpdated"]
    assert told(api.get(f"{ENTITIES}/{namespace}/e", params={"at": at})) == told(then)


def test_a_list_is_told_as_it_was(api, namespace, publish):
    api.post("/api/events/batch", json=[event(f"{namespace}/{n:04}", {"v": n}) for n in range(2_000)])
    at = api.headers["Flux-Position"]
    then = api.get(ENTITIES, params={"namespace": namespace})
    api.post(f"{ENTITIES}/delete", json={"prefix": f"{namespace}/1"})
    publish(f"{namespace}/new", {"v": 1})
    assert len(api.get(ENTITIES, params={"namespace": namespace}).json()) == 1_001
    asked = {"namespace": namespace, "at": at}
    assert api.get(ENTITIES, params=asked).json() == then.json()
    assert api.get(ENTITIES, params=asked | {"where": "v >= 1990", "count": "1"}).json() == {"count": 10}
    first = api.get(ENTITIES, params=asked | {"limit": 1_500, "fields": "v"})
    rest = api.get(first.headers["link"].partition(">")[0][1:])
    assert first.json() + rest.json() == then.json()
    time_of_then = max(entity["lastUpdated"] for entity in then.json())
    by_time = api.get(ENTITIES, params={"prefix": f"{namespace}/0", "at": time_of_then})
    assert by_time.json() == [e for e in then.json() if e["id"].startswith(f"{namespace}/0")]


def test_a_list_over_all_partitions_is_told_as_it_was(api, namespace, publish):
    names = [f"{namespace}{n}" for n in range(12)]
    api.post("/api/events/batch?wait=applied", json=[event(f"{name}/e", {"v": 1}) for name in names])
    then = api.get(ENTITIES, params={"prefix": namespace}).json()
    at = max(entity["lastUpdated"] for entity in then)
    api.post("/api/events/batch?wait=applied", json=[event(f"{name}/e", {"v": 2}) for name in names])
    assert api.get(ENTITIES, params={"prefix": namespace, "at": at}).json() == then
    assert len(then) == 12


def test_folds_are_told_side_by_side_and_hold_nobody_up(api, flux, namespace, publish):
    """More ask for the past than may fold at once: each is answered in its turn."""
    publish(f"{namespace}/e", {"v": 1})
    at = api.headers["Flux-Position"]
    asked = {"prefix": f"{namespace}/", "at": at}
    with (
        httpx.Client(base_url=flux.url, timeout=60) as client,
        ThreadPoolExecutor() as pool,
    ):
        asks = [pool.submit(client.get, ENTITIES, params=asked) for _ in range(6)]
        started = time.monotonic()
        assert api.get(f"{ENTITIES}/{namespace}/e").status_code == 200
        assert time.monotonic() - started < 1.0 * busy()
        assert [len(ask.result().json()) for ask in asks] == [1] * 6


def test_lists_that_readers_leave_in_the_middle_hold_nobody_up(api, flux, namespace):
    """More of them than may fold at once: who has gone keeps no process."""
    text = "x" * 2_000
    for first in range(0, 8_000, 1_000):
        body = [event(f"{namespace}/{n}", {"text": text}) for n in range(first, first + 1_000)]
        assert api.post("/api/events/batch?wait=applied", json=body).status_code == 200
    asked = {"prefix": f"{namespace}/", "at": api.headers["Flux-Position"]}
    started = time.monotonic()
    for _ in range(5):
        with httpx.stream("GET", f"{flux.url}{ENTITIES}", params=asked, timeout=limits.past_s) as answer:
            assert answer.status_code == 200
            assert next(answer.iter_raw())
            assert answer.status_code == 200, answer.read()
    assert time.monotonic() - started < limits.past_s  # for so long it could have been kept
    assert len(api.get(ENTITIES, params=asked | {"fields": "no"}, timeout=limits.past_s).json()) == 8_000


@pytest.mark.parametrize("at", ["", "yesterday", "2026-01-31", "1700000000", "99.1.0", "0.1"])
def test_an_at_that_is_no_moment_is_refused(api, namespace, at):
    assert "at must be" in assert_error(api.get(f"{ENTITIES}/{namespace}/e", params={"at": at}), 400)
    assert "at must be" in assert_error(api.get(ENTITIES, params={"at": at}), 400)


def test_the_past_through_the_second_entrance_is_the_same(proxy, api, namespace, lives):
    position, then = lives[4]
    assert told(proxy.get(f"{ENTITIES}/{namespace}/e", params={"at": position})) == told(then)
