"""Publishing: one event, a batch; and an entity's raw events."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.domain.clock import us_of
from flux_actors.domain.entity_id import check_entity_id
from flux_actors.domain.position import Packed, text_of, text_of_all, unpack
from flux_actors.errors import Refused
from flux_actors.log.block import event_at
from flux_api.answers import batch_answer, event_answer
from flux_api.door import Door
from flux_api.incoming import read_batch, read_event
from flux_api.openapi import BATCH_BODY, EVENT_BODY, describe
from flux_api.publishing import Published
from flux_api.requests import (
    POSITION_HEADER,
    door_of,
    query_of,
    read_body,
    refuse_unavailable,
    wanted_positions,
    wants_applied,
    whole_number,
)
from flux_api.responses import json_response, raw_json

router = APIRouter(tags=["events"])
_FOREVER_US: Final = 1 << 62


@router.post("/api/events", **describe("Publish one event", body=EVENT_BODY, query=["wait"]))
async def publish(request: Request) -> Response:
    """Answer 200 once the event is durable."""
    door = door_of(request)
    _refuse_conditions(request)
    wait = wants_applied(request)
    body = await read_body(request, door.config.config.body_size_limit_single_bytes)
    done = await door.publisher.publish(read_event(body))
    headers = {POSITION_HEADER: text_of(done.partition, done.position)}
    if not wait:
        return raw_json(event_answer(done), headers=headers)
    answer = {"eventId": done.event.event_id, "stream": done.event.stream}
    return json_response(answer | {"entity": await applied_entity(door, done)}, headers=headers)


@router.post("/api/events/batch", **describe("Publish many events", body=BATCH_BODY, query=["wait"]))
async def publish_batch(request: Request) -> Response:
    """Answer 200 with what became of each event, in the order of the request."""
    door = door_of(request)
    _refuse_conditions(request)
    wait = wants_applied(request)
    body = await read_body(request, door.config.config.body_size_limit_batch_bytes)
    events = read_batch(body)
    submission = await door.publisher.publish_all(events, body)
    positions = submission.positions()
    if wait:
        await door.reached(positions, tuple(positions))
    return raw_json(batch_answer(events, submission), headers=position_header(positions))


@router.get(
    "/api/events",
    **describe(
        "The raw events of one entity, newest first", query=["entity", "since", "until", "limit", "at_least"]
    ),
)
async def history(request: Request) -> Response:
    """Read exactly the newest N events by their positions."""
    door = door_of(request)
    query = query_of(request)
    refuse_unavailable(request, "cursor")
    if not query.get("entity"):
        raise Refused("entity is required: /api/events?entity=namespace/name")
    entity_id = check_entity_id(query["entity"])
    since_us = us_of(query["since"], "since") if query.get("since") else _default_since_us()
    until_us = us_of(query["until"], "until") if query.get("until") else _FOREVER_US
    limit = whole_number(query.get("limit") or str(limits.history_default), "limit")
    count = min(max(limit, 1), limits.history_positions_max)
    partition = door.partitioning.of_entity(entity_id)
    await door.reached(wanted_positions(request), (partition,))
    found = await door.shards.call(partition, "history", partition, entity_id, since_us, until_us, count)
    return json_response(await _raw_events(door, partition, [Packed(position) for position, _ in found]))


async def applied_entity(door: Door, done: Published) -> Any:
    """Return the entity of a published event once it is visible, `None` where there is none."""
    entity_id = done.event.entity_id
    entity = await door.applied(entity_id, done.partition, done.position)
    return entity.public() if entity is not None and entity.lives else None


def position_header(positions: dict[int, Packed]) -> dict[str, str]:
    """Return the `Flux-Position` header, empty when nothing was written."""
    return {POSITION_HEADER: text_of_all(positions)} if positions else {}


async def _raw_events(door: Door, partition: int, positions: list[Packed]) -> list[dict[str, Any]]:
    wanted: dict[int, list[Packed]] = {}
    for position in positions:
        wanted.setdefault(unpack(position)[0], []).append(position)

    async def read(sequence: int) -> dict[Packed, dict[str, Any]]:
        data = await door.log.block(partition, sequence)  # not held longer than its events are taken from it
        return {position: event_at(data, unpack(position)[1]).public() for position in wanted[sequence]}

    found = await asyncio.gather(*map(read, wanted))
    events = {position: event for part in found for position, event in part.items()}
    return [events[position] for position in positions]


def _refuse_conditions(request: Request) -> None:
    """Refuse what this version cannot keep, rather than write without the condition."""
    if "if-match" in request.headers or "if-none-match" in request.headers:
        raise Refused("conditional writes are not available in this version; leave If-Match out")
    if query_of(request).get("atomic") == "true":
        raise Refused("atomic batches are not available in this version; leave ?atomic out")


def _default_since_us() -> int:
    return time.time_ns() // 1_000 - limits.history_default_s * 1_000_000
