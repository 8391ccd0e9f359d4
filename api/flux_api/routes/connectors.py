"""Connectors: how they are, their tokens, and generic sources; each namespace has its own."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.connectors.records import GENERIC
from flux_api.openapi import SOURCE_BODY, TOKEN_BODY, describe
from flux_api.requests import door_of, read_json
from flux_api.responses import json_response

router = APIRouter(tags=["connectors"])
_DEFAULT: Final = "default"
_DONE: Final = {"success": True}


@router.get("/api/connectors", **describe("All connectors"))
async def list_connectors(request: Request) -> Response:
    """Return name, enabled and status of each."""
    listed = await door_of(request).connectors.listed(_namespace_of(request))
    return json_response({"connectors": listed})


@router.get("/api/connectors/{name}", **describe("One connector", path=["name"]))
async def get_connector(request: Request, name: str) -> Response:
    """Return one of them with its poll facts, null where unknown; `generic` tells the generic sources."""
    connectors = door_of(request).connectors
    if name == GENERIC:
        return json_response({"sources": await connectors.sources(_namespace_of(request))})
    return json_response(await connectors.detail(_namespace_of(request), name))


@router.post("/api/connectors/generic", **describe("Poll any JSON API", body=SOURCE_BODY))
async def add_source(request: Request) -> Response:
    """Poll a URL, at once and then every so often, into one entity."""
    namespace = _namespace_of(request)
    body = await read_json(request, limits.connector_body_bytes_max)
    changes = await door_of(request).connectors.changes()
    return json_response({"source_id": await changes.add_source(namespace, body)})


@router.delete("/api/connectors/generic/{source_id}", **describe("Poll it no longer", path=["source_id"]))
async def remove_source(request: Request, source_id: str) -> Response:
    """End a generic source; its entity stays."""
    changes = await door_of(request).connectors.changes()
    await changes.remove_source(_namespace_of(request), source_id)
    return json_response(_DONE)


@router.post(
    "/api/connectors/{name}/token", **describe("Give a connector its token", body=TOKEN_BODY, path=["name"])
)
async def set_token(request: Request, name: str) -> Response:
    """Keep a token, encrypted, and poll with it; it replaces an earlier one."""
    namespace = _namespace_of(request)
    connectors = door_of(request).connectors
    connectors.check_name(name)
    body = await read_json(request, limits.connector_body_bytes_max)
    await (await connectors.changes()).set_token(namespace, name, body)
    return json_response(_DONE)


@router.delete("/api/connectors/{name}/token", **describe("Forget a connector's token", path=["name"]))
async def forget_token(request: Request, name: str) -> Response:
    """Forget a token and end its polls; the entities stay."""
    namespace = _namespace_of(request)
    connectors = door_of(request).connectors
    connectors.check_name(name)
    await (await connectors.changes()).forget_token(namespace, name)
    return json_response(_DONE)


def _namespace_of(request: Request) -> str:
    """Return whose connectors the request is about."""
    del request
    return _DEFAULT
