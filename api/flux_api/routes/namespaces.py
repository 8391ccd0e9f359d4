"""Namespaces: made, looked at, deleted; each change is recorded before it is made."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.domain.clock import iso_of
from flux_actors.errors import Refused
from flux_actors.tenancy.authorising import Action
from flux_actors.tenancy.namespace import (
    Namespace,
    Phase,
    TokenRecord,
    Visibility,
    check_name,
    check_visibility,
    register,
)
from flux_actors.tenancy.principal import Kind, Principal
from flux_api.door import Door
from flux_api.emptying import empty
from flux_api.openapi import NAMESPACE_BODY, describe
from flux_api.requests import door_of, principal_of, read_json
from flux_api.responses import json_response
from flux_api.tenancy import now_us

router = APIRouter(tags=["namespaces"])
_SCOPES: Final = "read, write and admin"


@router.post("/api/namespaces", **describe("Register a namespace (admin)", body=NAMESPACE_BODY))
async def register_namespace(request: Request) -> Response:
    """Make a namespace and tell its main token, this once."""
    body = await object_of(request)
    door, principal = await asked(request, Action.GOVERN)
    name, visibility = check_name(body.get("name")), check_visibility(body.get("visibility"))
    fresh, token = register(name, visibility, now_us())

    def take(before: Namespace | None) -> Namespace:
        if before is not None and before.phase is not Phase.DELETED:
            raise Refused(_taken(before), 409)
        return msgspec.structs.replace(fresh, past=before.past if before is not None else {})

    take(door.tenancy.registry.namespace(name))  # refuse before it is recorded
    await record(door, principal, "namespace.register", fresh)
    namespace = await door.tenancy.change(name, take)
    if namespace.hidden:  # nobody writes there before every door hides it
        await door.fences.everywhere(door.tenancy.revision)
    return json_response({"namespaceId": namespace.id, "name": name, "token": token.text})


@router.get("/api/namespaces", **describe("All namespaces (admin)"))
async def list_namespaces(request: Request) -> Response:
    """Return every namespace with its entity count."""
    door, _ = await asked(request, Action.GOVERN)
    living = [n for n in door.tenancy.registry.all() if n.phase is Phase.ACTIVE]
    counts = await door.entity_counts([namespace.name for namespace in living])
    return json_response({"namespaces": [_facts(n, counts[n.name]) for n in living]})


@router.get("/api/namespaces/{name}", **describe("One namespace", path=["namespace_name"]))
async def get_namespace(request: Request, name: str) -> Response:
    """Return a namespace with its entity count; a private one to those alone who hold a token of it."""
    door, _ = await asked(request, Action.LOOK, name)
    namespace = namespace_named(door, name)
    counts = await door.entity_counts([name])
    return json_response(_facts(namespace, counts[name]))


@router.delete("/api/namespaces/{name}", **describe("Delete a namespace (admin)", path=["namespace_name"]))
async def delete_namespace(request: Request, name: str) -> Response:
    """Revoke its tokens, end its connectors, delete its entities, and only then let its name go.

    One that was cut off is finished by the next; neither touches what a later owner of the name has.
    """
    door, principal = await asked(request, Action.GOVERN)
    doomed = door.tenancy.registry.namespace(name)
    if doomed is None or doomed.phase is Phase.DELETED:
        raise Refused(f"there is no namespace {name[:64]!r}", 404)
    await record(door, principal, "namespace.delete", doomed)
    await door.tenancy.change(name, lambda before: _same(before, doomed).ending())
    await door.fences.everywhere(door.tenancy.revision)  # no door takes its tokens, or has a write of it
    await door.connectors.end(name)
    past = await empty(door, doomed)
    await door.tenancy.change(name, lambda before: _same(before, doomed).ended(past))
    return Response(status_code=204)


async def asked(request: Request, action: Action, name: str = "") -> tuple[Door, Principal]:
    """Return the door and who asks it, when it may; what it knows of namespaces is as new as the store.

    A body is read before: a client that takes its time to send one must not be judged by what it was.
    """
    door = _door_with_tenants(request)
    await door.tenancy.read()
    principal = await principal_of(request)
    door.tenancy.authorise(principal, action, name)
    return door, principal


async def record(
    door: Door, principal: Principal, what: str, namespace: Namespace, token: TokenRecord | None = None
) -> None:
    """Record a change before it is made. Records are public: of a private namespace they tell an id only."""
    who = f"token {principal.token_id}" if principal.kind is Kind.HOLDER else "admin token"
    details: dict[str, Any] = {"namespaceId": namespace.id}
    public = namespace.visibility is Visibility.PUBLIC
    if public:
        details["name"] = namespace.name
    if token is not None:
        details |= {"token": token.id, "scopes": sorted(token.scopes)}
        details |= {"prefix": token.prefix} if public and token.prefix else {}
        details |= {"expiresAt": iso_of(token.expires_us)} if token.expires_us is not None else {}
    about = namespace.id if token is not None else ""  # so that no tenant can push the others' out of reach
    await door.audit.record(who, what, details, about)


async def object_of(request: Request) -> dict[str, Any]:
    """Return the body, which must be a JSON object."""
    _door_with_tenants(request)  # else there is nothing here to send one to
    body = await read_json(request, limits.body_tenancy_bytes)
    if not isinstance(body, dict):
        raise Refused("the body must be a JSON object")
    return body


def namespace_named(door: Door, name: str) -> Namespace:
    """Return the namespace of a name; raises `Refused` (404) when there is none."""
    return active(door.tenancy.registry.namespace(name), name)


def active(namespace: Namespace | None, name: str) -> Namespace:
    """Return a namespace that lives; raises `Refused` (404) when it does not."""
    if namespace is None or namespace.phase is not Phase.ACTIVE:
        raise Refused(f"there is no namespace {name[:64]!r}", 404)
    return namespace


def _door_with_tenants(request: Request) -> Door:
    door = door_of(request)
    if not door.tenancy.enabled:
        raise Refused("this server has no namespaces to manage; start it with FLUX_AUTH_ENABLED=true", 404)
    return door


def _same(before: Namespace | None, wanted: Namespace) -> Namespace:
    """Return the namespace as it is now, unless its name has another owner by now."""
    if before is None or before.id != wanted.id or before.phase is Phase.DELETED:
        raise Refused(
            f"the namespace {wanted.name} is gone already, and its name may have been taken anew", 409
        )
    return before


def _taken(namespace: Namespace) -> str:
    if namespace.phase is Phase.DELETING:
        return f"{namespace.name} is being deleted; DELETE it again to have that finished, then take the name"
    return f"the name {namespace.name} is taken; choose another"


def _facts(namespace: Namespace, count: int) -> dict[str, Any]:
    return {
        "namespaceId": namespace.id,
        "name": namespace.name,
        "createdAt": iso_of(namespace.created_us),
        "entityCount": count,
    }
