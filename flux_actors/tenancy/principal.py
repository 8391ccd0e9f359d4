"""Principals: whom a request comes from."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from flux_actors.tenancy.namespace import Scope


class Kind(Enum):
    """What is known of a client."""

    ANYONE = "anyone"  # of a server that asks nobody: with auth off all are
    NOBODY = "nobody"  # no token
    UNKNOWN = "unknown"  # a token that is none of ours, or no longer
    ADMIN = "admin"  # the server's admin token
    HOLDER = "holder"  # of a namespace's token


class Principal(NamedTuple):
    """A client; of a holder also what its token is good for."""

    kind: Kind
    namespace: str = ""
    scopes: frozenset[Scope] = frozenset()
    prefix: str = ""
    expires_us: int | None = None
    token_id: str = ""
    writable: str | None = None  # with what ids begin that it may write

    @classmethod
    def holder(
        cls, namespace: str, scopes: frozenset[Scope], prefix: str, expires_us: int | None, token_id: str
    ) -> Principal:
        """Return the holder of a token of `namespace`."""
        writable = (prefix or f"{namespace}/") if Scope.WRITE in scopes else None
        return cls(Kind.HOLDER, namespace, scopes, prefix, expires_us, token_id, writable)

    def may_write(self, entity_id: str | None, now_us: int) -> bool:
        """Whether the answer is a plain yes, which takes 0.2 µs; a no is `authorise`'s to find words for."""
        writable = self.writable
        return (
            writable is not None
            and entity_id is not None
            and entity_id.startswith(writable)
            and (self.expires_us is None or now_us < self.expires_us)
        )

    def holds(self, namespace: str, now_us: int) -> bool:
        """Whether this is a holder of a token of `namespace` that has not expired."""
        return self.kind is Kind.HOLDER and self.namespace == namespace and not self.has_expired(now_us)

    def has_expired(self, now_us: int) -> bool:
        """Whether the token's time is over."""
        return self.expires_us is not None and now_us >= self.expires_us


ANYONE: Final = Principal(Kind.ANYONE)
NOBODY: Final = Principal(Kind.NOBODY)
UNKNOWN: Final = Principal(Kind.UNKNOWN)
ADMIN: Final = Principal(Kind.ADMIN)
