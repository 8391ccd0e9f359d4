"""What clients must see of a Flux whose doors have different clocks.

An entity's `lastUpdated` never goes back, whichever door took the event; `?at=` one of them tells the state
that the events up to then made; and a lease ends in time, for the log's clock goes on though it is ahead.
While clocks differ a lease may end early by as much, for a fast door ends what is due by its own clock
(docs/operations.md); when they are right again none does, though the log's clock is ahead of all of them.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from flux_actors.errors import Unavailable
from flux_cluster.chaos.witness import client_of
from flux_cluster.chaos.world import World

_TRIES: Final = 60  # connections, each of which the system gives to one of three doors
_EVENTS: Final = 12
_ANSWER_S: Final = 10.0
_TTL_S: Final = 6.0
_EARLY_S: Final = 2.5  # less than two seconds of lag is not seen to, and an answer takes its time
_LEASES: Final = 6
_LATE_S: Final = 4.0  # a lease ends within a second of its deadline, on a machine that is not busy
_SPACE: Final = "chaos-witness"  # one namespace: leases go by the clock of its partition


async def see_one_clock(world: World, ahead_s: float, *, early: bool) -> None:
    """Publish at one door after the other, and compare what they say; the fastest is ahead by `ahead_s`.

    `early` says whether a lease may end early.

    Raises:
        Unavailable: time goes back for an entity, `?at=` tells another state than there was, a lease does
            not end in its time, or no door has such a clock.
    """
    entity_id = f"{_SPACE}/{uuid.uuid4().hex}"
    async with client_of(world, _ANSWER_S) as client:
        told = await _told(client, entity_id, ahead_s)
        times = [updated for updated, _ in told]
        if times != sorted(times):
            raise Unavailable(f"lastUpdated of {entity_id} went back: {times}")
        await _see_past(client, entity_id, told)
        lasted = await asyncio.gather(*(_lasted_s(client, f"{entity_id}-{n}") for n in range(_LEASES)))
    if not early and min(lasted) < _TTL_S - _EARLY_S:
        raise Unavailable(f"a lease of {_TTL_S:g} s ended after {min(lasted):.1f} s")


async def _told(client: httpx.AsyncClient, entity_id: str, ahead_s: float) -> list[tuple[str, int]]:
    """Return `lastUpdated` and number of each event, some of them behind the first of the fastest door."""
    told: list[tuple[str, int]] = []
    ends = 0
    for number in range(_TRIES):
        answer = await _publish(client, entity_id, {"properties": {"n": number}})
        told.append((answer["entity"]["lastUpdated"], number))
        if ends == 0 and _is_ahead(told[-1][0], ahead_s):
            ends = number + _EVENTS
        if ends and number >= ends:
            return told
    raise Unavailable(f"none of {_TRIES} events has a time {ahead_s:.0f} s ahead: the clocks do not differ")


async def _see_past(client: httpx.AsyncClient, entity_id: str, told: list[tuple[str, int]]) -> None:
    for updated, number in dict(told).items():  # the last event of each time
        state = await _get(client, entity_id, at=updated)
        if state is None or state["properties"]["n"] != number:
            raise Unavailable(f"{entity_id} at {updated} was {state}, not that of event {number}")


async def _lasted_s(client: httpx.AsyncClient, entity_id: str) -> float:
    """Return how long a lease lasted, as its client sees it."""
    await _publish(client, entity_id, {"properties": {"here": True}, "ttl_ms": int(_TTL_S * 1000)})
    taken = time.monotonic()
    while await _get(client, entity_id) is not None:
        if time.monotonic() - taken > _TTL_S + _LATE_S:
            raise Unavailable(f"a lease of {_TTL_S:g} s has not ended after {_TTL_S + _LATE_S:g} s")
        await asyncio.sleep(0.1)
    return time.monotonic() - taken


async def _publish(client: httpx.AsyncClient, entity_id: str, payload: dict[str, Any]) -> Any:
    event = {"stream": "chaos", "source": "witness", "payload": {"entity_id": entity_id} | payload}
    answer = await client.post("/api/events", params={"wait": "applied"}, json=event)
    if not answer.is_success:
        raise Unavailable(f"an event was answered {answer.status_code} {answer.text[:200]}")
    return answer.json()


async def _get(client: httpx.AsyncClient, entity_id: str, **query: str) -> Any:
    """Return an entity, `None` if there is none."""
    answer = await client.get(f"/api/state/entities/{entity_id}", params=query)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    if not answer.is_success:
        raise Unavailable(f"an entity was answered {answer.status_code} {answer.text[:200]}")
    return answer.json()


def _is_ahead(updated: str, by_s: float) -> bool:
    return (datetime.fromisoformat(updated) - datetime.now(UTC)).total_seconds() > by_s
