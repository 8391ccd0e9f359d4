"""Namespaces and tokens of a server that has them: making, looking, ending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from flux_actors.client.http import FluxClient
from flux_actors.client.wire import decode_answer


class NewNamespace(msgspec.Struct, frozen=True, rename="camel"):
    """A namespace that was made, and its main token, which is told this once."""

    namespace_id: str
    name: str
    token: str


class NamespaceFacts(msgspec.Struct, frozen=True, rename="camel"):
    """What is told of a namespace."""

    namespace_id: str
    name: str
    created_at: str
    entity_count: int


class NewToken(msgspec.Struct, frozen=True):
    """A token that was made; it is told this once."""

    id: str
    token: str


class TokenFacts(msgspec.Struct, frozen=True, rename="camel"):
    """What is told of a token: all but what makes it good."""

    id: str
    main: bool
    scopes: list[str]
    prefix: str | None
    created_at: str
    expires_at: str | None


class _Tokens(msgspec.Struct, frozen=True):
    tokens: list[TokenFacts]


class _Namespaces(msgspec.Struct, frozen=True):
    namespaces: list[NamespaceFacts]


class Tenants:
    """The namespaces of a server, as the holder of its admin token or of one namespace's sees them."""

    def __init__(self, client: FluxClient) -> None:
        self._client = client

    def register(self, name: str, *, private: bool = False) -> NewNamespace:
        """Make a namespace; those without its token read nothing of a private one."""
        body = {"name": name} | ({"visibility": "private"} if private else {})
        return decode_answer(self._send("POST", "", body), NewNamespace)

    def all(self) -> Sequence[NamespaceFacts]:
        """Return all namespaces."""
        return decode_answer(self._send("GET", ""), _Namespaces).namespaces

    def get(self, name: str) -> NamespaceFacts:
        """Return one."""
        return decode_answer(self._send("GET", _path(name)), NamespaceFacts)

    def delete(self, name: str) -> None:
        """End a namespace: its tokens, its entities, and then its claim to the name."""
        self._send("DELETE", _path(name))

    def make_token(
        self, name: str, scopes: Sequence[str], prefix: str | None = None, expires_at: str | None = None
    ) -> NewToken:
        """Make a token; `expires_at` is an RFC 3339 time."""
        given = {"scopes": list(scopes), "prefix": prefix, "expiresAt": expires_at}
        wish = {key: value for key, value in given.items() if value is not None}
        return decode_answer(self._send("POST", f"{_path(name)}/tokens", wish), NewToken)

    def tokens(self, name: str) -> Sequence[TokenFacts]:
        """Return what is known of a namespace's tokens."""
        return decode_answer(self._send("GET", f"{_path(name)}/tokens"), _Tokens).tokens

    def rotate(self, name: str) -> NewToken:
        """Put a new main token in the place of the old one."""
        return decode_answer(self._send("POST", f"{_path(name)}/tokens", {"rotate": True}), NewToken)

    def revoke(self, name: str, token_id: str) -> None:
        """Take a token back; within a second no door takes it."""
        self._send("DELETE", f"{_path(name)}/tokens/{quote(token_id, safe='')}")

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return self._client.send(
            method, f"/api/namespaces{path}", body=body, authorization=self._client.admin_authorization
        )


def _path(name: str) -> str:
    return f"/{quote(name, safe='')}"
