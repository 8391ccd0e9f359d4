"""A door with tenants: a public and a private namespace, and clients of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from flux_actors.tenancy.following import key_of
from flux_actors.tenancy.namespace import Namespace, Scope, TokenRecord, Visibility, register
from flux_actors.tenancy.token import Token, digest_of, new_token
from flux_api.tenancy import now_us
from tests.unit.api.standing import Standing, event

ADMIN_TOKEN = "the-admin's"
NOBODY = "none"
WRITERS = frozenset({Scope.WRITE})
HOUR_US = 3_600_000_000


@dataclass
class Tenants:
    """What each kind of client sends as its token; those with a token have one of `vault`."""

    standing: Standing
    tokens: dict[str, str]

    @classmethod
    async def settle(cls, standing: Standing) -> Tenants:
        """Make `acme`, which everybody reads, and `vault`, which is private, with entities in both."""
        tokens = {"wrong": new_token().text, "admin": ADMIN_TOKEN}
        _, acme = await _registered(standing, "acme", Visibility.PUBLIC)
        vault, main = await _registered(standing, "vault", Visibility.PRIVATE)
        tokens |= {"other": acme.text, "main": main.text}
        records = {
            "read": TokenRecord("", "", frozenset({Scope.READ}), 1),
            "write": TokenRecord("", "", WRITERS, 1),
            "manage": TokenRecord("", "", frozenset({Scope.ADMIN}), 1),
            "prefix": TokenRecord("", "", WRITERS, 1, "vault/kitchen/"),
            "expired": TokenRecord("", "", frozenset(Scope), 1, "", now_us() - 1),
        }
        for kind, record in records.items():
            tokens[kind] = (await _with_token(standing, vault, record)).text
        entities = ["acme/x", "vault/x", "vault/y", "vault/kitchen/x"]
        await standing.publish(*(event(entity_id, {"v": 1}) for entity_id in entities))
        return cls(standing, tokens)

    @property
    def kinds(self) -> list[str]:
        return [NOBODY, *self.tokens]

    def headers(self, kind: str) -> dict[str, str]:
        return {} if kind == NOBODY else {"Authorization": f"Bearer {self.tokens[kind]}"}

    async def revoke(self, kind: str) -> None:
        """Take the token of a kind of client back, at another door."""
        token_id = self.tokens[kind].split("_")[1]
        await self.change("vault", lambda namespace: namespace.without_token(token_id))

    async def change(self, name: str, change: Any) -> None:
        """Change a namespace in the store alone: this door does not know yet."""
        store = self.standing.tenants
        assert store is not None
        stored = await store.get(key_of(name))
        assert stored is not None
        namespace = change(msgspec.json.decode(stored.value, type=Namespace))
        await store.put(key_of(name), msgspec.json.encode(namespace), stored.revision)


async def _registered(standing: Standing, name: str, visibility: Visibility) -> tuple[Namespace, Token]:
    namespace, token = register(name, visibility, now_us())
    await standing.door.tenancy.change(name, lambda _: namespace)
    return namespace, token


async def _with_token(standing: Standing, namespace: Namespace, record: TokenRecord) -> Token:
    token = new_token()
    kept = msgspec.structs.replace(record, id=token.id, digest=digest_of(token, namespace.id))

    def with_token(before: Namespace | None) -> Namespace:
        assert before is not None
        return before.with_token(token, kept)

    await standing.door.tenancy.change(namespace.name, with_token)
    return token
