"""Google Calendar: the coming events of the primary calendar, as an OAuth access token may read them.

    calendar/events/<id>

A token needs the scope calendar.readonly or calendar.events.readonly. An event that was cancelled is deleted;
one that is over stays as it was. Google's access tokens live about an hour: then the connector says so, and
goes on when a new one is given.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from flux_actors.connectors.base import Connector, Context, Found
from flux_actors.errors import Corrupt

_EVENTS_MAX: Final = 250
_CHARS_MAX: Final = 1_000


class Calendar(Connector):
    """Polls one calendar."""

    interval_s: ClassVar[float] = 60.0
    base_url: ClassVar[str] = "https://www.googleapis.com/calendar/v3/calendars/primary/events"

    async def poll(self, context: Context) -> AsyncGenerator[Found, None]:
        """Yield the events from now on; recurring ones are told one by one."""
        query = {
            "timeMin": datetime.fromtimestamp(context.now_s(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "singleEvents": "true",
            "showDeleted": "true",
            "orderBy": "startTime",
            "maxResults": _EVENTS_MAX,
        }
        answer = await context.web.get(f"{self.base_url}?{urlencode(query)}", context.bearer)
        context.judge(answer, context.now_s())
        listed = answer.json()
        items = listed.get("items") if isinstance(listed, dict) else None
        if not isinstance(items, list):
            raise Corrupt("Google Calendar's answer has no events")
        for item in items:
            yield _event(item)


def _event(item: Any) -> Found:
    event_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(event_id, str) or not event_id:
        raise Corrupt("an event of Google Calendar's answer has no id")
    name = f"events/{event_id[:200]}"
    if item.get("status") == "cancelled":
        return name, None
    return name, {
        "summary": _short(item.get("summary")),
        "location": _short(item.get("location")),
        "status": item.get("status"),
        "start": _time(item.get("start")),
        "end": _time(item.get("end")),
        "updated": item.get("updated"),
        "url": item.get("htmlLink"),
    }


def _time(value: Any) -> Any:
    """Return the moment of an event, or its date when it takes whole days."""
    return value.get("dateTime") or value.get("date") if isinstance(value, dict) else None


def _short(value: Any) -> Any:
    return value[:_CHARS_MAX] if isinstance(value, str) else value
