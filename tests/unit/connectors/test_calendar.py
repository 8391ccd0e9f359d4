"""Google Calendar: the coming events."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from flux_actors.connectors.base import Answer, Context, judge
from flux_actors.connectors.calendar import Calendar
from flux_actors.errors import Corrupt, Unavailable
from tests.unit.connectors.fake_parts import NOW_S, ScriptedWeb


async def poll(value: Any, status: int = 200) -> tuple[dict[str, Any], ScriptedWeb]:
    web = ScriptedWeb(lambda *_: Answer(status, {}, json.dumps(value).encode()))
    context = Context(web, "ya29.token", {}, {}, lambda: NOW_S, judge)
    return dict([pair async for pair in Calendar().poll(context)]), web


EVENT = {
    "id": "e1",
    "status": "confirmed",
    "summary": "Stand-up",
    "location": "Room 1",
    "start": {"dateTime": "2026-01-02T09:00:00+01:00"},
    "end": {"date": "2026-01-03"},
    "updated": "2026-01-01T00:00:00Z",
    "htmlLink": "https://calendar.google.com/e1",
}


async def test_coming_events_become_entities_and_cancelled_ones_go():
    found, web = await poll({"items": [EVENT, {"id": "e2", "status": "cancelled"}]})
    assert found == {
        "events/e1": {
            "summary": "Stand-up",
            "location": "Room 1",
            "status": "confirmed",
            "start": "2026-01-02T09:00:00+01:00",
            "end": "2026-01-03",
            "updated": "2026-01-01T00:00:00Z",
            "url": "https://calendar.google.com/e1",
        },
        "events/e2": None,
    }
    ((url, headers),) = web.asked
    assert headers == {"Authorization": "Bearer ya29.token"}
    assert parse_qs(urlsplit(url).query)["timeMin"] == ["1970-01-12T13:46:40Z"]


async def test_an_event_that_says_little_is_taken_as_far_as_it_goes():
    assert (await poll({"items": [{"id": "e"}]}))[0]["events/e"]["start"] is None


@pytest.mark.parametrize(
    "value", [[], {}, {"items": 7}, {"items": [7]}, {"items": [{}]}, {"items": [{"id": 7}]}]
)
async def test_what_makes_no_sense_is_told(value):
    with pytest.raises(Corrupt):
        await poll(value)


async def test_a_fault_of_google_is_waited_out():
    with pytest.raises(Unavailable):
        await poll({}, 503)
