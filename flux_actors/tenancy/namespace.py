"""A namespace's record: its name, who may see it, and what is kept of its tokens."""

from __future__ import annotations

import re
import secrets
from enum import StrEnum
from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.domain.entity_id import CORE_NAMESPACE
from flux_actors.errors import Refused
from flux_actors.tenancy.token import Token, digest_of, new_token

_NAME: Final = re.compile(r"[a-z0-9_-]{3,32}", re.ASCII)
_ID_BYTES: Final = 12


class Scope(StrEnum):
    """What a token is for; `write` includes `read`, `admin` means the namespace's tokens and connectors."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Visibility(StrEnum):
    """Who may read a namespace."""

    PUBLIC = "public"
    PRIVATE = "private"


class Phase(StrEnum):
    """Where a namespace is in its life; the record of one that is gone stays, for its past stays hidden."""

    ACTIVE = "active"
    DELETING = "deleting"
    DELETED = "deleted"


ALL_SCOPES: Final = frozenset(Scope)


class TokenRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a token."""

    id: str
    digest: str
    scopes: frozenset[Scope]
    created_us: int
    prefix: str = ""  # ids that it is good for begin so
    expires_us: int | None = None

    def has_expired(self, now_us: int) -> bool:
        """Whether the token's time is over."""
        return self.expires_us is not None and now_us >= self.expires_us


class Namespace(msgspec.Struct, frozen=True, omit_defaults=True):
    """One namespace."""

    id: str
    name: str
    created_us: int
    visibility: Visibility
    main: str  # the id of its main token
    tokens: dict[str, TokenRecord]
    phase: Phase = Phase.ACTIVE
    past: dict[int, int] = {}  # the last sequence of each partition that earlier owners of the name wrote in

    @property
    def hidden(self) -> bool:
        """Whether those without its token are told nothing; of one that is gone nothing is left to tell."""
        return self.visibility is Visibility.PRIVATE and self.phase is not Phase.DELETED

    def with_token(self, token: Token, record: TokenRecord) -> Namespace:
        """Return the namespace with one token more, and without those that have expired.

        Raises:
            Refused: it has as many as it may.
        """
        now_us = record.created_us
        tokens = {key: kept for key, kept in self.tokens.items() if not kept.has_expired(now_us)}
        if len(tokens) >= limits.tokens_max:
            raise Refused(
                f"{self.name} has {limits.tokens_max} tokens, as many as it may; revoke some first", 409
            )
        return msgspec.structs.replace(self, tokens={**tokens, token.id: record})

    def without_token(self, token_id: str) -> Namespace:
        """Return the namespace without a token; raises `Refused` (404) when there is none."""
        if token_id not in self.tokens:
            raise Refused(f"{self.name} has no token with this id", 404)
        tokens = {key: record for key, record in self.tokens.items() if key != token_id}
        return msgspec.structs.replace(self, tokens=tokens)

    def rotated(self, token: Token, now_us: int) -> Namespace:
        """Return the namespace with another main token in the place of the one it has."""
        tokens = {key: record for key, record in self.tokens.items() if key != self.main}
        tokens[token.id] = _main_record(token, self.id, now_us)
        return msgspec.structs.replace(self, main=token.id, tokens=tokens)

    def ending(self) -> Namespace:
        """Return the namespace while it ends: without tokens."""
        return msgspec.structs.replace(self, phase=Phase.DELETING, tokens={})

    def ended(self, past: dict[int, int]) -> Namespace:
        """Return the namespace when it is gone; `past` is how far the log had come by then."""
        return msgspec.structs.replace(self, phase=Phase.DELETED, tokens={}, past=past)


def register(name: str, visibility: Visibility, now_us: int) -> tuple[Namespace, Token]:
    """Return a new namespace and its main token."""
    namespace_id = f"ns_{secrets.token_hex(_ID_BYTES)}"
    token = new_token()
    tokens = {token.id: _main_record(token, namespace_id, now_us)}
    return Namespace(namespace_id, name, now_us, visibility, token.id, tokens), token


def check_name(name: Any) -> str:
    """Return `name` as that of a namespace or raise `Refused` (400) saying what is wrong with it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Refused('name must be 3 to 32 of a-z, 0-9, "_" and "-", such as "building-7"')
    if name.startswith(CORE_NAMESPACE):
        raise Refused("names beginning with flux-core belong to the server; choose another", 403)
    return name


def check_visibility(value: Any) -> Visibility:
    """Return the visibility that a client asked for; public when it named none."""
    if value is None:
        return Visibility.PUBLIC
    if value not in list(Visibility):
        raise Refused('visibility must be "public" or "private"')
    return Visibility(value)


def _main_record(token: Token, namespace_id: str, now_us: int) -> TokenRecord:
    return TokenRecord(token.id, digest_of(token, namespace_id), ALL_SCOPES, now_us)
