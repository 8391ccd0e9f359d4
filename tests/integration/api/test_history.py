"""`GET /api/events`: the raw events of one entity, exactly the newest N, newest first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
EVENTS = "/api/events"


@pytest.fixture
def history(api, namespace):
    """Return the numbers of the events of the namespace's entity `e`, newest first."""

    def numbers(**params):
        answer = api.get(EVENTS, params={"entity": f"{namespace}/e", **params})
        assert answer.status_code == 200, answer.text
        return [logged["payload"]["properties"]["n"] for logged in answer.json()]

    return numbers


@pytest.fixture
def times(namespace, publish):
    """Publish events 0 to 9 of `e` and return when each was applied, by the log's clock."""
    return [publish(f"{namespace}/e", {"n": n}).json()["entity"]["lastUpdated"] for n in range(10)]


def test_an_event_is_given_back_as_it_was_published(api, namespace):
    full = event(f"{namespace}/e", {"a": {"b": [1]}}, eventId="id", timestamp=5, key="k", schema="s")
    full["payload"]["unit"] = {"kept": "whole"}
    assert api.post(EVENTS, json=full).status_code == 200
    answer = api.get(EVENTS, params={"entity": f"{namespace}/e"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == [full]


def test_an_event_with_the_fewest_fields_has_exactly_these(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    (logged,) = api.get(EVENTS, params={"entity": f"{namespace}/e"}).json()
    assert set(logged) == {"eventId", "stream", "source", "timestamp", "payload"}
    assert logged["payload"] == {"entity_id": f"{namespace}/e", "properties": {"a": 1}}
    assert isinstance(logged["timestamp"], int)


@pytest.mark.parametrize("rest", [{}, {"properties": {}}, {"note": "no state"}], ids=str)
def test_an_event_that_changes_nothing_is_in_the_history(api, namespace, rest):
    payload = {"entity_id": f"{namespace}/e"} | rest
    api.post(EVENTS, json={"stream": "a", "source": "s", "payload": payload})
    (logged,) = api.get(EVENTS, params={"entity": f"{namespace}/e"}).json()
    assert logged["payload"] == payload


def test_newest_first_by_the_log_and_not_by_the_clients_timestamp(publish, namespace, history):
    for n in range(5):
        publish(f"{namespace}/e", {"n": n}, timestamp=1_000 - n)
    assert history() == [4, 3, 2, 1, 0]


def test_tombstones_are_included_and_the_history_goes_on_behind_them(api, namespace, publish):
    publish(f"{namespace}/e", {"n": 1})
    api.delete(f"/api/state/entities/{namespace}/e")
    publish(f"{namespace}/e", {"n": 2})
    properties = [
        e["payload"]["properties"] for e in api.get(EVENTS, params={"entity": f"{namespace}/e"}).json()
    ]
    assert properties == [{"n": 2}, {"__deleted__": True}, {"n": 1}]


def test_only_the_events_of_that_entity(api, namespace, history):
    names = ["e", "e/1", "ee", "f", "E"]
    api.post(
        "/api/events/batch", json=[event(f"{namespace}/{name}", {"n": n}) for n, name in enumerate(names * 3)]
    )
    assert history() == [10, 5, 0]


def test_an_unknown_entity_has_an_empty_history(api, namespace):
    answer = api.get(EVENTS, params={"entity": f"{namespace}/nobody"})
    assert (answer.status_code, answer.content) == (200, b"[]")


@pytest.mark.parametrize("query", ["", "?entity=", "?limit=5", "?Entity=a/b", "?entity"])
def test_a_missing_entity_is_refused(api, query):
    assert "entity" in assert_error(api.get(f"{EVENTS}{query}"), 400)


@pytest.mark.parametrize("entity", ["a%00", "a%0Ab", "a" * 513, "%FF", "a%C3", "%ED%A0%80"])
def test_an_entity_that_cannot_be_one_is_refused(api, entity):
    assert_error(api.get(f"{EVENTS}?entity={entity}"), 400)


@pytest.mark.parametrize(
    ("limit", "count"),
    [("1", 1), ("7", 7), ("100", 100), ("499", 499), ("500", 500), ("501", 500), ("99999999", 500)],
)
def test_exactly_the_newest_n_up_to_500(api, namespace, history, limit, count):
    api.post("/api/events/batch", json=[event(f"{namespace}/e", {"n": n}) for n in range(700)])
    assert history(limit=limit) == list(range(699, 699 - count, -1))


@pytest.mark.parametrize("limit", ["0", "-1", "-99999"])
def test_a_limit_below_one_is_one(times, history, limit):
    assert history(limit=limit) == [9]


def test_the_default_is_the_newest_100(api, namespace, history):
    api.post("/api/events/batch", json=[event(f"{namespace}/e", {"n": n}) for n in range(150)])
    assert history() == list(range(149, 49, -1))


@pytest.mark.parametrize("limit", ["abc", "1.5", "1e2", "٣", " ", "1 0", "0x10", "--1", "9" * 40])
def test_a_limit_that_is_no_number_is_refused(api, namespace, limit):
    assert "limit" in assert_error(api.get(EVENTS, params={"entity": f"{namespace}/e", "limit": limit}), 400)


def test_pages_lead_to_the_oldest_event_that_is_kept_whatever_comes_meanwhile(api, namespace, history):
    api.post("/api/events/batch", json=[event(f"{namespace}/e", {"n": n}) for n in range(700)])
    params = {"entity": f"{namespace}/e", "limit": 200}
    pages, answer = [], api.get(EVENTS, params=params)
    while True:
        pages.append([logged["payload"]["properties"]["n"] for logged in answer.json()])
        assert "flux-history-from" in answer.headers
        if "link" not in answer.headers:
            break
        api.post(EVENTS, json=event(f"{namespace}/other", {"n": 1}))
        answer = api.get(answer.headers["link"].partition(">")[0][1:])
    assert [len(page) for page in pages] == [200, 200, 100]
    assert [number for page in pages for number in page] == list(range(699, 199, -1))


def test_a_history_that_is_whole_has_no_other_end(api, namespace, times):
    answer = api.get(EVENTS, params={"entity": f"{namespace}/e", "limit": 4, "since": times[0]})
    assert ("link" in answer.headers, "flux-history-from" in answer.headers) == (True, False)


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "OTk5LjEuMQ"])
def test_a_cursor_that_no_page_gave_is_refused(api, namespace, cursor):
    answer = api.get(EVENTS, params={"entity": f"{namespace}/e", "cursor": cursor})
    assert_error(answer, 400)


def test_since_is_inclusive(times, history):
    assert history(since=times[4]) == [9, 8, 7, 6, 5, 4]


def test_until_is_exclusive(times, history):
    assert history(until=times[4]) == [3, 2, 1, 0]


def test_since_and_until_together_and_a_limit_takes_the_newest_of_them(times, history):
    assert history(since=times[2], until=times[8]) == [7, 6, 5, 4, 3, 2]
    assert history(since=times[2], until=times[8], limit=2) == [7, 6]
    assert history(since=times[8], until=times[2]) == []
    assert history(since=times[3], until=times[3]) == []


def test_a_time_in_another_zone_is_the_same_moment(times, history):
    moment = datetime.fromisoformat(times[5])
    for hours in (-9, 0, 2, 14):
        local = (moment + timedelta(hours=hours)).replace(tzinfo=None).isoformat(timespec="microseconds")
        offset = f"{'-' if hours < 0 else '+'}{abs(hours):02}:00"
        assert history(since=local + offset) == [9, 8, 7, 6, 5]
    assert history(since=times[5].replace("+00:00", "Z")) == [9, 8, 7, 6, 5]


def test_a_plus_that_a_query_string_turned_into_a_space_is_understood(api, namespace, times):
    answer = api.get(f"{EVENTS}?entity={namespace}/e&since={times[5]}")
    assert len(answer.json()) == 5


@pytest.mark.parametrize(
    "time",
    [
        *(
            "1990-12-31T23:59:59Z",
            "1996-12-19T16:39:57-08:00",
            "1985-04-12T23:20:50.52Z",
            "0001-01-01T00:00:00Z",
        ),
        *(
            "2000-02-29T12:00:00Z",
            "2000-01-01T00:00:00.123456789Z",
            "2000-01-01t00:00:00z",
            "2000-01-01T00:00:00-00:00",
        ),
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_an_rfc_3339_time_is_understood(times, history, time):
    assert history(since=time) == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert history(until=time) == []


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize(
    "time",
    [
        *(
            "yesterday",
            "now",
            "1700000000",
            "1700000000000",
            "2026-01-31",
            "12:00:00Z",
            "2026-01-31T12:00:00",
        ),
        *(
            "2026-01-31T12:00Z",
            "20260131T120000Z",
            "2026-W05-6T12:00:00Z",
            "2026-031T12:00:00Z",
            "2026-1-31T12:00:00Z",
        ),
        *("2026-02-30T12:00:00Z", "2026-13-01T12:00:00Z", "2026-01-31T25:00:00Z", "2026-01-31T12:60:00Z"),
        *(
            "2026-01-31T12:00:00+25:00",
            "2026-01-31T12:00:00+0100",
            "2026-01-31T12:00:00+01",
            "2026-01-31T12:00:00X",
        ),
        *(
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00,5Z",
            "+2026-01-31T12:00:00Z",
            "T",
            " ",
            "\x00",
            "٢026-01-31T12:00:00Z",
        ),
    ],
    ids=ascii,
)
def test_a_time_that_is_not_rfc_3339_is_refused(api, namespace, name, time):
    answer = api.get(EVENTS, params={"entity": f"{namespace}/e", name: time})
    assert name in assert_error(answer, 400)


def test_the_default_begins_24_hours_ago(times, history):
    day_ago = (datetime.now(UTC) - timedelta(hours=24)).isoformat()
    assert history() == history(since=day_ago)


def test_a_bad_position_is_refused(api, namespace):
    assert_error(api.get(EVENTS, params={"entity": f"{namespace}/e", "at_least": "x"}), 400)


def test_the_history_through_the_second_entrance_is_the_same(proxy, api, namespace, times):
    params = {"entity": f"{namespace}/e", "limit": 3, "at_least": api.headers["Flux-Position"]}
    assert proxy.get(EVENTS, params=params).json() == api.get(EVENTS, params=params).json()
    assert_error(proxy.get(EVENTS), 400)
