"""Tokens of namespaces: made, listed, revoked, by one who may still when it is done."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors.domain.clock import iso_of, us_of
from flux_actors.domain.entity_id import check_entity_id
from flux_actors.errors import Refused
from flux_actors.tenancy.authorising import Action
from flux_actors.tenancy.namespace import Namespace, Scope, TokenRecord
from flux_actors.tenancy.principal import Kind, Principal
from flux_actors.tenancy.token import digest_of, new_token
from flux_api.openapi import TOKEN_BODY, describe
from flux_api.responses import json_response
from flux_api.routes.namespaces import active, asked, namespace_named, object_of, record
from flux_api.tenancy import now_us

router = APIRouter(tags=["namespaces"])
_SCOPES: Final = "read, write and admin"


@router.get("/api/namespaces/{name}/tokens", **describe("A namespace's tokens", path=["namespace_name"]))
async def list_tokens(request: Request, name: str) -> Response:
    """Return what is known of a namespace's tokens: all but what makes them good."""
    door, _ = await asked(request, Action.MANAGE, name)
    namespace = namespace_named(door, name)
    kept = sorted(namespace.tokens.values(), key=lambda token: (token.created_us, token.id))
    tokens = [_token_facts(token, main=token.id == namespace.main) for token in kept]
    return json_response({"tokens": tokens})


@router.post(
    "/api/namespaces/{name}/tokens", **describe("Make a token", body=TOKEN_BODY, path=["namespace_name"])
)
async def make_token(request: Request, name: str) -> Response:
    """Make a token with scopes, prefix and end, or a new main token in the place of the old one."""
    body = await object_of(request)
    door, principal = await asked(request, Action.MANAGE, name)
    wish = None if _rotates(body, principal) else _wish(body, name, principal)
    token = new_token()

    def with_token(before: Namespace | None) -> Namespace:
        namespace = _changeable(before, name, principal)
        if wish is None:
            return namespace.rotated(token, now_us())
        kept = msgspec.structs.replace(wish, id=token.id, digest=digest_of(token, namespace.id))
        return namespace.with_token(token, kept)

    namespace = with_token(door.tenancy.registry.namespace(name))
    door.tenancy.count_token_change(principal, name)
    what = "token.rotate" if wish is None else "token.create"
    await record(door, principal, what, namespace, namespace.tokens[token.id])
    await door.tenancy.change(name, with_token)
    return json_response({"id": token.id, "token": token.text})


@router.delete(
    "/api/namespaces/{name}/tokens/{token_id}",
    **describe("Revoke a token", path=["namespace_name", "token_id"]),
)
async def revoke_token(request: Request, name: str, token_id: str) -> Response:
    """Revoke a token; no door takes it a second from now."""
    door, principal = await asked(request, Action.MANAGE, name)
    bounded = principal.prefix or principal.expires_us is not None
    if bounded and token_id != principal.token_id:
        raise Refused("a token with a prefix or an end can revoke itself alone", 403)

    def without(before: Namespace | None) -> Namespace:
        return _changeable(before, name, principal).without_token(token_id)

    namespace = namespace_named(door, name)
    without(namespace)
    door.tenancy.count_token_change(principal, name)
    await record(door, principal, "token.revoke", namespace, namespace.tokens[token_id])
    await door.tenancy.change(name, without)
    return Response(status_code=204)


def _changeable(before: Namespace | None, name: str, principal: Principal) -> Namespace:
    """Return the namespace as it is now, if the token that asks is still one of it."""
    namespace = active(before, name)
    if principal.kind is Kind.HOLDER:
        kept = namespace.tokens.get(principal.token_id)
        if kept is None or kept.has_expired(now_us()):
            raise Refused("this token was revoked or has expired", 401, {"WWW-Authenticate": "Bearer"})
    return namespace


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
