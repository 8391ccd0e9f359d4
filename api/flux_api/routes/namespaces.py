"""Namespaces and their tokens."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.domain.clock import iso_of, us_of
from flux_actors.domain.entity_id import check_entity_id
from flux_actors.errors import Refused
from flux_actors.tenancy.authorising import Action
from flux_actors.tenancy.namespace import (
    Namespace,
    Phase,
    Scope,
    TokenRecord,
    Visibility,
    check_name,
    check_visibility,
    register,
)
from flux_actors.tenancy.principal import Kind, Principal
from flux_actors.tenancy.token import digest_of, new_token
from flux_api.door import Door
from flux_api.emptying import empty
from flux_api.openapi import NAMESPACE_BODY, TOKEN_BODY, describe
from flux_api.requests import door_of, principal_of, read_json
from flux_api.responses import json_response
from flux_api.tenancy import now_us

router = APIRouter(tags=["namespaces"])
_SCOPES: Final = "read, write and admin"


@router.post("/api/namespaces", **describe("Register a namespace (admin)", body=NAMESPACE_BODY))
async def register_namespace(request: Request) -> Response:
    """Make a namespace and tell its main token, this once."""
    body = await _object_of(request)
    door, principal = await _asked(request, Action.GOVERN)
    name, visibility = check_name(body.get("name")), check_visibility(body.get("visibility"))
    fresh, token = register(name, visibility, now_us())

    def take(before: Namespace | None) -> Namespace:
        if before is not None and before.phase is not Phase.DELETED:
            raise Refused(_taken(before), 409)
        return msgspec.structs.replace(fresh, past=before.past if before is not None else {})

    take(door.tenancy.registry.namespace(name))  # refuse before it is recorded
    await _record(door, principal, "namespace.register", fresh)
    namespace = await door.tenancy.change(name, take)
    if namespace.hidden:  # nobody writes there before every door hides it
        await door.fences.everywhere(door.tenancy.revision)
    return json_response({"namespaceId": namespace.id, "name": name, "token": token.text})


@router.get("/api/namespaces", **describe("All namespaces (admin)"))
async def list_namespaces(request: Request) -> Response:
    """Return every namespace with its entity count."""
    door, _ = await _asked(request, Action.GOVERN)
    active = [n for n in door.tenancy.registry.all() if n.phase is Phase.ACTIVE]
    counts = await door.entity_counts([namespace.name for namespace in active])
    return json_response({"namespaces": [_facts(n, counts[n.name]) for n in active]})


@router.get("/api/namespaces/{name}", **describe("One namespace", path=["namespace_name"]))
async def get_namespace(request: Request, name: str) -> Response:
    """Return a namespace with its entity count; a private one to those alone who hold a token of it."""
    door, _ = await _asked(request, Action.LOOK, name)
    namespace = _namespace(door, name)
    counts = await door.entity_counts([name])
    return json_response(_facts(namespace, counts[name]))


@router.delete("/api/namespaces/{name}", **describe("Delete a namespace (admin)", path=["namespace_name"]))
async def delete_namespace(request: Request, name: str) -> Response:
    """Revoke its tokens, end its connectors, delete its entities, and only then let its name go.

    One that was cut off is finished by the next; neither touches what a later owner of the name has.
    """
    door, principal = await _asked(request, Action.GOVERN)
    doomed = door.tenancy.registry.namespace(name)
    if doomed is None or doomed.phase is Phase.DELETED:
        raise Refused(f"there is no namespace {name[:64]!r}", 404)
    await _record(door, principal, "namespace.delete", doomed)
    await door.tenancy.change(name, lambda before: _same(before, doomed).ending())
    await door.fences.everywhere(door.tenancy.revision)  # no door takes its tokens, or has a write of it
    await door.connectors.end(name)
    past = await empty(door, doomed)
    await door.tenancy.change(name, lambda before: _same(before, doomed).ended(past))
    return Response(status_code=204)


@router.get("/api/namespaces/{name}/tokens", **describe("A namespace's tokens", path=["namespace_name"]))
async def list_tokens(request: Request, name: str) -> Response:
    """Return what is known of a namespace's tokens: all but what makes them good."""
    door, _ = await _asked(request, Action.MANAGE, name)
    namespace = _namespace(door, name)
    records = sorted(namespace.tokens.values(), key=lambda record: (record.created_us, record.id))
    tokens = [_token_facts(record, main=record.id == namespace.main) for record in records]
    return json_response({"tokens": tokens})


@router.post(
    "/api/namespaces/{name}/tokens", **describe("Make a token", body=TOKEN_BODY, path=["namespace_name"])
)
async def make_token(request: Request, name: str) -> Response:
    """Make a token with scopes, prefix and end, or a new main token in the place of the old one."""
    body = await _object_of(request)
    door, principal = await _asked(request, Action.MANAGE, name)
    wish = None if _rotates(body, principal) else _wish(body, name, principal)
    token = new_token()

    def with_token(before: Namespace | None) -> Namespace:
        namespace = _changeable(before, name, principal)
        if wish is None:
            return namespace.rotated(token, now_us())
        record = msgspec.structs.replace(wish, id=token.id, digest=digest_of(token, namespace.id))
        return namespace.with_token(token, record)

    namespace = with_token(door.tenancy.registry.namespace(name))
    door.tenancy.count_token_change(principal, name)
    what = "token.rotate" if wish is None else "token.create"
    await _record(door, principal, what, namespace, namespace.tokens[token.id])
    await door.tenancy.change(name, with_token)
    return json_response({"id": token.id, "token": token.text})


@router.delete(
    "/api/namespaces/{name}/tokens/{token_id}",
    **describe("Revoke a token", path=["namespace_name", "token_id"]),
)
async def revoke_token(request: Request, name: str, token_id: str) -> Response:
    """Revoke a token; no door takes it a second from now."""
    door, principal = await _asked(request, Action.MANAGE, name)
    bounded = principal.prefix or principal.expires_us is not None
    if bounded and token_id != principal.token_id:
        raise Refused("a token with a prefix or an end can revoke itself alone", 403)

    def without(before: Namespace | None) -> Namespace:
        return _changeable(before, name, principal).without_token(token_id)

    namespace = _namespace(door, name)
    without(namespace)
    door.tenancy.count_token_change(principal, name)
    await _record(door, principal, "token.revoke", namespace, namespace.tokens[token_id])
    await door.tenancy.change(name, without)
    return Response(status_code=204)


async def _asked(request: Request, action: Action, name: str = "") -> tuple[Door, Principal]:
    """Return the door and who asks it, when it may; what it knows of namespaces is as new as the store.

    A body is read before: a client that takes its time to send one must not be judged by what it was.
    """
    door = door_of(request)
    if not door.tenancy.enabled:
        raise Refused("this server has no namespaces to manage; start it with FLUX_AUTH_ENABLED=true", 404)
    await door.tenancy.read()
    principal = await principal_of(request)
    door.tenancy.authorise(principal, action, name)
    return door, principal


async def _record(
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


async def _object_of(request: Request) -> dict[str, Any]:
    body = await read_json(request, limits.body_tenancy_bytes)
    if not isinstance(body, dict):
        raise Refused("the body must be a JSON object")
    return body


def _namespace(door: Door, name: str) -> Namespace:
    return _active(door.tenancy.registry.namespace(name), name)


def _active(namespace: Namespace | None, name: str) -> Namespace:
    if namespace is None or namespace.phase is not Phase.ACTIVE:
        raise Refused(f"there is no namespace {name[:64]!r}", 404)
    return namespace


def _same(before: Namespace | None, wanted: Namespace) -> Namespace:
    """Return the namespace as it is now, unless its name has another owner by now."""
    if before is None or before.id != wanted.id or before.phase is Phase.DELETED:
        raise Refused(
            f"the namespace {wanted.name} is gone already, and its name may have been taken anew", 409
        )
    return before


def _changeable(before: Namespace | None, name: str, principal: Principal) -> Namespace:
    """Return the namespace as it is now, if the token that asks is still one of it."""
    namespace = _active(before, name)
    if principal.kind is Kind.HOLDER:
        record = namespace.tokens.get(principal.token_id)
        if record is None or record.has_expired(now_us()):
            raise Refused("this token was revoked or has expired", 401, {"WWW-Authenticate": "Bearer"})
    return namespace


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


def _token_facts(record: TokenRecord, *, main: bool) -> dict[str, Any]:
    return {
        "id": record.id,
        "main": main,
        "scopes": sorted(record.scopes),
        "prefix": record.prefix or None,
        "createdAt": iso_of(record.created_us),
        "expiresAt": None if record.expires_us is None else iso_of(record.expires_us),
    }


def _rotates(body: dict[str, Any], principal: Principal) -> bool:
    rotate = body.get("rotate")
    if rotate is None:
        return False
    if rotate is not True or len(body) > 1:
        raise Refused('to rotate the main token, the body must be {"rotate":true} and nothing else')
    if principal.kind is Kind.HOLDER and (principal.prefix or principal.expires_us is not None):
        raise Refused("a token with a prefix or an end cannot rotate the main token, which has none", 403)
    return True


def _wish(body: dict[str, Any], name: str, principal: Principal) -> TokenRecord:
    """Return the token that a body asks for, without its id and digest."""
    unknown = sorted(set(body) - {"scopes", "prefix", "expiresAt"})
    if unknown:
        raise Refused(f"unknown key {unknown[0][:64]!r}; a token has scopes, prefix and expiresAt")
    now = now_us()
    record = TokenRecord(
        "", "", _scopes(body.get("scopes")), now, _prefix(body, name), _expires_us(body, now)
    )
    if not record.prefix.startswith(principal.prefix):
        raise Refused(f"this token can make tokens for ids beginning with {principal.prefix!r} alone", 403)
    if principal.expires_us is not None and not (
        record.expires_us is not None and record.expires_us <= principal.expires_us
    ):
        raise Refused("a token that expires can make only tokens that expire no later; set expiresAt", 403)
    return record


def _scopes(given: Any) -> frozenset[Scope]:
    if not isinstance(given, list) or not given or not all(scope in list(Scope) for scope in given):
        raise Refused(f'scopes must be a list of one or more of {_SCOPES}, such as ["read"]')
    return frozenset(Scope(scope) for scope in given)


def _prefix(body: dict[str, Any], name: str) -> str:
    prefix = body.get("prefix")
    if prefix is None:
        return ""
    if not isinstance(prefix, str) or not prefix.startswith(f"{name}/"):
        raise Refused(f'prefix must be the beginning of ids, such as "{name}/kitchen/"')
    check_entity_id(prefix)
    return prefix


def _expires_us(body: dict[str, Any], now: int) -> int | None:
    text = body.get("expiresAt")
    if text is None:
        return None
    if not isinstance(text, str):
        raise Refused("expiresAt must be an RFC 3339 time such as 2031-01-31T12:00:00Z")
    expires_us = us_of(text, "expiresAt")
    if expires_us <= now:
        raise Refused("expiresAt must be in the future")
    return expires_us
