"""Reading and deleting entities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from flux_actors import limits
from flux_actors.domain.entity import render_some
from flux_actors.domain.entity_id import CORE_NAMESPACE, check_entity_id, check_not_core, namespace_of
from flux_actors.domain.terms import read_condition
from flux_actors.errors import FluxError, Refused
from flux_actors.tenancy.authorising import Action
from flux_actors.tenancy.principal import Kind, Principal
from flux_api.at import Moment, made_whole, read_moment
from flux_api.cached import CachedEntity
from flux_api.door import Door
from flux_api.hot.replies import LARGE_BYTES
from flux_api.listing import Listing, stream_json, stream_lines
from flux_api.many import body_of, entities_body
from flux_api.openapi import DELETE_BODY, GET_BODY, describe
from flux_api.queries import next_link, read_fields, read_query
from flux_api.requests import (
    condition_of,
    door_of,
    is_true,
    principal_of,
    query_of,
    read_json,
    wanted_positions,
    wants_applied,
)
from flux_api.responses import LINES, json_response, raw_json
from flux_api.routes.events import position_header
from flux_api.tenancy import now_us

router = APIRouter(tags=["state"])
_PATH: Final = "/api/state/entities/"
_VARY: Final = {"Vary": "Accept"}  # an array or lines


class _AnyPath(PathConvertor):
    """Any rest of a path; Starlette's own stops at a line break, for which an id is refused in words."""

    regex = r"[\s\S]*"


register_url_convertor("any", _AnyPath())


@router.head(
    "/api/state/entities",
    **describe("Count entities: Flux-Count", query=["namespace", "prefix", "where", "at", "at_least"]),
)
@router.get(
    "/api/state/entities",
    **describe(
        "List entities, sorted by id",
        query=["namespace", "prefix", "where", "fields", "page_limit", "cursor", "count", "at", "at_least"],
    ),
)
async def list_entities(request: Request) -> Response:
    """Stream the entities of a namespace and prefix, or tell how many they are."""
    door = door_of(request)
    query = query_of(request)
    asked = read_query(query)._replace(lines=_wants_lines(request))
    principal = await principal_of(request)
    moment = await _moment_of(door, query)
    namespace, prefix = query.get("namespace") or None, query.get("prefix") or ""
    listing = Listing(door, namespace, prefix, principal, asked, moment)
    await door.reached(wanted_positions(request), listing.partitions)
    if moment is not None:
        await door.reached(moment.positions, listing.partitions)
    if request.method == "HEAD":
        return _head_of_list(await listing.count(), LINES if asked.lines else "application/json")
    if is_true(query.get("count")):
        return json_response({"count": await listing.count()})
    if asked.limit is not None:
        rows, after = await listing.page(asked.limit)
        headers = (
            dict(_VARY) if after is None else _VARY | {"Link": next_link(request.url.path, query, after)}
        )
        if asked.lines:
            return Response(b"".join(row + b"\n" for row in rows), headers=headers, media_type=LINES)
        return raw_json(b"[" + b",".join(rows) + b"]", headers=headers)
    await listing.begin()
    if asked.lines:
        return StreamingResponse(stream_lines(listing), headers=_VARY, media_type=LINES)
    return StreamingResponse(stream_json(listing), headers=_VARY, media_type="application/json")


@router.post("/api/state/entities/get", **describe("Read many entities in one call", body=GET_BODY))
async def get_many(request: Request) -> Response:
    """Return the entities that exist, in the order asked, and the ids that do not."""
    door = door_of(request)
    given = _list_of(await read_json(request, limits.body_other_bytes), "ids")
    positions = wanted_positions(request)
    if positions:
        partitions = {door.partitioning.of_entity(check_entity_id(entity_id)) for entity_id in given}
        await door.reached(positions, tuple(partitions))
    principal = await principal_of(request)
    answer = None if door.tenancy.hides_any(given) else entities_body(door.view, given)
    if answer is None:
        await door.tenancy.current()
        answer = body_of(*await _seen(door, principal, [check_entity_id(entity_id) for entity_id in given]))
    return raw_json(answer)


@router.post(
    "/api/state/entities/delete",
    **describe("Delete by namespace, prefix or ids", body=DELETE_BODY, query=["wait"]),
)
async def delete_many(request: Request) -> Response:
    """Publish a tombstone for every match."""
    door = door_of(request)
    wait = wants_applied(request)
    body = await read_json(request, limits.body_other_bytes)
    principal = await principal_of(request)
    ids = await _matches(door, body, principal)
    submission = await door.publisher.delete_all(ids, principal)
    positions = submission.positions()
    if wait:
        await door.reached(positions, tuple(positions))
    outcomes = zip(ids, submission.events, strict=True)
    errors = [f"{i}: {outcome.message}" for i, outcome in outcomes if isinstance(outcome, FluxError)]
    answer = {"deleted": len(ids) - len(errors), "failed": len(errors), "errors": errors}
    return json_response(answer, headers=position_header(positions))


@router.head(
    "/api/state/entities/{entity_id:any}",
    **describe("Whether an entity exists", query=["at", "at_least"], path=["entity_id"]),
)
@router.get(
    "/api/state/entities/{entity_id:any}",
    **describe("Read one entity", query=["fields", "at", "at_least"], path=["entity_id"]),
)
async def get_entity(request: Request) -> Response:
    """Return the entity, 304 when the client has it already, 404 when there is none."""
    door = door_of(request)
    entity_id = _id_of(request)
    query = query_of(request)
    fields = read_fields(query.get("fields"))
    moment = await _moment_of(door, query)
    positions = wanted_positions(request)
    if positions:
        await door.reached(positions, (door.partitioning.of_entity(entity_id),))
    principal, namespace = await principal_of(request), namespace_of(entity_id)
    door.tenancy.authorise(principal, Action.READ, namespace, entity_id)
    entity = door.view.look_up(entity_id) if moment is None else None
    if entity is None:
        await door.tenancy.current()
        entity = await (door.view.get(entity_id) if moment is None else _as_it_was(door, entity_id, moment))
        door.tenancy.authorise(principal, Action.READ, namespace, entity_id)  # fetching may have taken long
    return _entity_response(request, entity, fields)


@router.delete(
    "/api/state/entities/{entity_id:any}",
    **describe("Delete one entity", query=["wait", "If-Match"], path=["entity_id"]),
)
async def delete_entity(request: Request) -> Response:
    """Publish a tombstone; an absent entity counts as deleted."""
    door = door_of(request)
    wait = wants_applied(request)
    entity_id = check_not_core(_id_of(request))
    asked = condition_of(request)
    condition = None if asked is None else read_condition(asked)
    submission = await door.publisher.delete_all([entity_id], await principal_of(request), condition)
    (event,) = submission.events
    if isinstance(event, FluxError):
        raise event
    positions = submission.positions()
    answer: dict[str, Any] = {"entity_id": entity_id, "eventId": event.event_id}
    if wait:
        await door.reached(positions, tuple(positions))
    return json_response(answer, headers=position_header(positions))


def _wants_lines(request: Request) -> bool:
    """Whether lines of JSON were asked for: by name, for `*/*` has always meant an array."""
    kinds = (kind.partition(";")[0].strip().lower() for kind in request.headers.get("accept", "").split(","))
    return LINES in kinds


def _head_of_list(count: int, media_type: str) -> Response:
    """Return the head that a list has, whose length nobody knows before it is made."""
    vary = {"Vary": "Accept, Accept-Encoding"}
    response = Response(headers={"Flux-Count": str(count)} | vary, media_type=media_type)
    del response.headers["Content-Length"]
    return response


async def _moment_of(door: Door, query: dict[str, str]) -> Moment | None:
    """Return the moment that a reader asks of, `None` for the present: that is a time to come, too."""
    if "at" not in query:
        return None
    moment = read_moment(query["at"], door.partitioning.partitions)
    if any(map(door.succession.is_earlier, moment.positions.values())):
        raise Refused("this position is of before the log was repartitioned; ask for a time", 410)
    return None if moment.is_to_come(now_us()) else await made_whole(moment, door.log)


async def _as_it_was(door: Door, entity_id: str, moment: Moment) -> CachedEntity:
    partition = door.partitioning.of_entity(entity_id)
    target = moment.of(partition)
    if moment.positions:
        await door.reached(moment.positions, (partition,))
    else:
        await door.caught_up((partition,))
    row = await door.past.entity(partition, entity_id, target)
    return CachedEntity.of(entity_id, partition, -1, row)


def _entity_response(request: Request, entity: CachedEntity, fields: tuple[str, ...] | None) -> Response:
    if not entity.lives:
        raise Refused("Entity not found", 404)
    headers = {"ETag": entity.etag}
    asked = request.headers.get("if-none-match")
    body = entity.body() if fields is None else render_some(entity, fields)
    if asked is not None and _matches_etag(asked, entity.etag):
        vary = {"Vary": "Accept-Encoding"} if len(body) >= LARGE_BYTES else {}
        return Response(status_code=304, headers=headers | vary)
    return raw_json(body, headers=headers)


def _matches_etag(asked: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in asked.split(",")]
    return etag in tags or "*" in tags


def _id_of(request: Request) -> str:
    """Return the id of the path, read from the raw bytes so that broken escapes are refused."""
    raw = bytes(request.scope.get("raw_path") or request.scope["path"].encode())
    name = raw.partition(b"?")[0].partition(_PATH.encode())[2]
    try:
        return check_entity_id(unquote_to_bytes(name).decode())
    except UnicodeDecodeError:
        raise Refused("the id in the path must be percent-encoded UTF-8") from None


def _ids_of(body: Any, name: str) -> list[str]:
    return [check_entity_id(entity_id) for entity_id in _list_of(body, name)]


def _list_of(body: Any, name: str) -> list[Any]:
    ids = body.get(name) if isinstance(body, dict) else None
    if not isinstance(ids, list):
        raise Refused(f'the body must be {{"{name}": […]}} with entity ids')
    if len(ids) > limits.get_many_ids_max:
        raise Refused(f"{len(ids)} ids are too many for one call; send at most {limits.get_many_ids_max}")
    return ids


async def _seen(
    door: Door, principal: Principal, ids: list[str]
) -> tuple[list[CachedEntity], Callable[[CachedEntity], bool]]:
    """Return entities, and which of them `principal` is shown; the others are as if they were not there."""
    entities = await door.view.get_many(ids)
    hidden = (
        {i for i in ids if not door.tenancy.may_read(principal, i)} if door.tenancy.registry.hidden else ()
    )
    return entities, lambda entity: entity.entity_id not in hidden


async def _matches(door: Door, body: Any, principal: Principal) -> list[str]:
    given = [name for name in ("namespace", "prefix", "entity_ids") if _given(body, name)]
    if len(given) != 1:
        raise Refused('the body must name exactly one of "namespace", "prefix" and "entity_ids"')
    if given == ["entity_ids"]:
        if principal.kind in {Kind.NOBODY, Kind.UNKNOWN}:  # each id would fail alone, all for the same reason
            door.tenancy.authorise(principal, Action.WRITE, "", None)
        return [check_not_core(entity_id) for entity_id in dict.fromkeys(_ids_of(body, "entity_ids"))]
    text = body[given[0]]
    if not isinstance(text, str) or not text:
        raise Refused(f"{given[0]} must be a string that is not empty")
    check_not_core(text)
    beginning = f"{text}/" if given == ["namespace"] else text
    door.tenancy.authorise(principal, Action.WRITE, namespace_of(beginning), beginning)
    listing = Listing(door, text, "") if given == ["namespace"] else Listing(door, None, text)
    await door.caught_up(listing.partitions)
    ids = [i for i in await listing.ids(limits.delete_matches_max + 2) if not i.startswith(CORE_NAMESPACE)]
    if len(ids) > limits.delete_matches_max:
        count = await listing.count()
        raise Refused(
            f"{count} entities match, more than the {limits.delete_matches_max} that one call deletes; "
            "narrow it by prefix"
        )
    return ids


def _given(body: Any, name: str) -> bool:
    return isinstance(body, dict) and body.get(name) is not None
