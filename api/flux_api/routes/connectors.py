"""Connectors: how they are, their tokens, and generic sources; each namespace has its own.

With tokens on, a request is about the namespace of its token. Without one it sees the connectors of none.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.connectors.records import GENERIC
from flux_actors.errors import Refused
from flux_actors.tenancy.authorising import Action
from flux_actors.tenancy.namespace import Namespace, Visibility
from flux_actors.tenancy.principal import Kind, Principal
from flux_api.connectors import Owner
from flux_api.openapi import CONNECTOR_TOKEN_BODY, SOURCE_BODY, describe
from flux_api.requests import door_of, principal_of, read_json
from flux_api.responses import json_response
from flux_api.tenancy import now_us

router = APIRouter(tags=["connectors"])
_DEFAULT: Final = "default"  # whose connectors they are with tokens off
_DONE: Final = {"success": True}
_WANTED: Final = 'send a token of your namespace as "Authorization: Bearer <token>"'


@router.get("/api/connectors", **describe("All connectors"))
async def list_connectors(request: Request) -> Response:
    """Return name, enabled and status of each."""
    listed = await door_of(request).connectors.listed(await _seen_by(request))
    return json_response({"connectors": listed})


@router.get("/api/connectors/{name}", **describe("One connector", path=["name"]))
async def get_connector(request: Request, name: str) -> Response:
    """Return one of them with its poll facts, null where unknown; `generic` tells the generic sources."""
    connectors = door_of(request).connectors
    namespace = await _seen_by(request)
    if name == GENERIC:
        return json_response({"sources": await connectors.sources(namespace)})
    return json_response(await connectors.detail(namespace, name))


@router.post("/api/connectors/generic", **describe("Poll any JSON API", body=SOURCE_BODY))
async def add_source(request: Request) -> Response:
    """Poll a URL, at once and then every so often, into one entity."""
    owner = await _managed_by(request)
    body = await read_json(request, limits.connector_body_bytes_max)
    door = door_of(request)
    changes = await door.connectors.changes(door.audit)
    return json_response({"source_id": await changes.add_source(owner, body)})


@router.delete("/api/connectors/generic/{source_id}", **describe("Poll it no longer", path=["source_id"]))
async def remove_source(request: Request, source_id: str) -> Response:
    """End a generic source; its entity stays."""
    owner = await _managed_by(request)
    door = door_of(request)
    changes = await door.connectors.changes(door.audit)
    await changes.remove_source(owner, source_id)
    return json_response(_DONE)


@router.post(
    "/api/connectors/{name}/token",
    **describe("Give a connector its token", body=CONNECTOR_TOKEN_BODY, path=["name"]),
)
async def set_token(request: Request, name: str) -> Response:
    """Keep a token, encrypted, and poll with it; it replaces an earlier one."""
    owner = await _managed_by(request)
    door = door_of(request)
    door.connectors.check_name(name)
    body = await read_json(request, limits.connector_body_bytes_max)
    changes = await door.connectors.changes(door.audit)
    await changes.set_token(owner, name, body)
    return json_response(_DONE)


@router.delete("/api/connectors/{name}/token", **describe("Forget a connector's token", path=["name"]))
async def forget_token(request: Request, name: str) -> Response:
    """Forget a token and end its polls; the entities stay."""
    owner = await _managed_by(request)
    door = door_of(request)
    door.connectors.check_name(name)
    changes = await door.connectors.changes(door.audit)
    await changes.forget_token(owner, name)
    return json_response(_DONE)


async def _seen_by(request: Request) -> str | None:
    """Return whose connectors a client sees, `None` for nobody's."""
    principal = await principal_of(request)
    if principal.kind is Kind.ANYONE:
        return _DEFAULT
    if principal.kind in {Kind.NOBODY, Kind.ADMIN}:
        return None
    return _holder(principal).namespace


async def _managed_by(request: Request) -> Owner:
    """Return whose connectors a client may configure.

    Raises:
        Refused: 401 without a good token, 403 when it may not.
    """
    principal = await principal_of(request)
    if principal.kind is Kind.ANYONE:
        return Owner(_DEFAULT)
    if principal.kind is Kind.ADMIN:
        raise Refused(f"the admin token is of no namespace, so it has no connectors; {_WANTED}", 403)
    namespace = _holder(principal).namespace
    tenancy = door_of(request).tenancy
    tenancy.authorise(principal, Action.MANAGE, namespace)
    return Owner(
        namespace,
        principal.prefix,
        writes_elsewhere=False,
        who=f"token {principal.token_id}",
        shown=_shown(tenancy.registry.namespace(namespace)),
    )


def _shown(namespace: Namespace | None) -> dict[str, str]:
    """Return what an audit record, which is public, may tell of a namespace."""
    if namespace is None:
        return {}
    named = {"name": namespace.name} if namespace.visibility is Visibility.PUBLIC else {}
    return {"namespaceId": namespace.id, **named}


def _holder(principal: Principal) -> Principal:
    if principal.kind is Kind.HOLDER and not principal.has_expired(now_us()):
        return principal
    reason = "connectors belong to namespaces"
    if principal.kind is not Kind.NOBODY:
        reason = "this token is unknown, revoked or expired"
    raise Refused(f"{reason}; {_WANTED}", 401, {"WWW-Authenticate": "Bearer"})
