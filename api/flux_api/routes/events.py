"""Publishing: one event, a batch."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.domain.position import Packed, text_of, text_of_all
from flux_actors.errors import Refused
from flux_actors.tenancy.principal import Principal
from flux_api.answers import batch_answer, event_answer
from flux_api.atomic import check_count
from flux_api.batches import Answer
from flux_api.door import Door
from flux_api.incoming import decode_raws, read_batch, read_event
from flux_api.openapi import BATCH_BODY, EVENT_BODY, describe
from flux_api.requests import (
    POSITION_HEADER,
    condition_of,
    door_of,
    is_true,
    principal_of,
    query_of,
    read_body,
    wants_applied,
)
from flux_api.responses import json_response, raw_json
from flux_api.submission import Published

router = APIRouter(tags=["events"])


@router.post(
    "/api/events",
    **describe("Publish one event", body=EVENT_BODY, query=["wait", "If-Match", "If-None-Match"]),
)
async def publish(request: Request) -> Response:
    """Answer 200 once the event is durable."""
    door = door_of(request)
    condition, wait = condition_of(request), wants_applied(request)
    body = await read_body(request, door.config.config.body_size_limit_single_bytes)
    envelope = read_event(body)
    if condition is not None:
        if envelope.condition is not None:
            raise Refused("give either a condition in the event or a conditional header, not both")
        envelope.condition = condition
    done = await door.publisher.publish(envelope, await principal_of(request))
    headers = {POSITION_HEADER: text_of(done.partition, done.position)}
    if not wait:
        return raw_json(event_answer(done), headers=headers)
    answer = {"eventId": done.event.event_id, "stream": done.event.stream}
    return json_response(answer | {"entity": await applied_entity(door, done)}, headers=headers)


@router.post(
    "/api/events/batch", **describe("Publish many events", body=BATCH_BODY, query=["wait", "atomic"])
)
async def publish_batch(request: Request) -> Response:
    """Answer 200 with what became of each event, in the order of the request."""
    door = door_of(request)
    if condition_of(request) is not None:
        raise Refused('conditional headers are for one event; give each event of a batch its "condition"')
    wait, atomic = wants_applied(request), is_true(query_of(request).get("atomic"))
    body = await read_body(request, door.config.config.body_size_limit_batch_bytes)
    publish = _publish_whole if atomic else _publish_batch
    answer = await publish(door, body, await principal_of(request))
    if wait:
        await door.reached(answer.positions, tuple(answer.positions))
    return raw_json(b"".join(answer.parts), headers=position_header(answer.positions))


async def _publish_batch(door: Door, body: bytes, principal: Principal) -> Answer:
    """Publish a batch of any size."""
    events = read_batch(body) if len(body) <= limits.batch_at_once_bytes else ()
    if not 0 < len(events) <= limits.batch_at_once_events:
        return await door.batches.publish(body, principal)
    submission = await door.publisher.publish_all(events, principal, body)
    return Answer([batch_answer(events, submission)], submission.positions())


async def _publish_whole(door: Door, body: bytes, principal: Principal) -> Answer:
    """Publish a batch all or none; one of too many events is not read, for that would hold everybody up."""
    if len(body) > limits.batch_at_once_bytes:
        check_count(len(decode_raws(body)), door.publisher.committers[0])
    events = read_batch(body)
    submission = await door.publisher.publish_whole(events, principal, body)
    return Answer([batch_answer(events, submission)], submission.positions())


async def applied_entity(door: Door, done: Published) -> Any:
    """Return the entity of a published event once it is visible, `None` where there is none."""
    entity_id = done.event.entity_id
    entity = await door.applied(entity_id, done.partition, done.position)
    return entity.public() if entity is not None and entity.lives else None


def position_header(positions: dict[int, Packed]) -> dict[str, str]:
    """Return the `Flux-Position` header, empty when nothing was written."""
    return {POSITION_HEADER: text_of_all(positions)} if positions else {}
