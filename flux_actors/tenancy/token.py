"""Tokens: what a client sends, and what is kept of it.

A token is `flux_<id>_<secret>`. The id is public (revoking names it, logs may hold it), the secret has 256
bits of chance, and only its keyed hash is stored. A slow hash such as argon2 protects secrets that people
think up; against 256 bits of chance it adds nothing but its cost (docs/decisions/011).
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import blake2b
from typing import Final, NamedTuple

from flux_actors import limits

_MARK: Final = "flux_"
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32
_DIGEST_BYTES: Final = 32
_PERSON: Final = b"flux-token"


class Token(NamedTuple):
    """A token in its two parts."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """What its holder sends; nobody can be shown it a second time."""
        return f"{_MARK}{self.id}_{self.secret}"


def new_token() -> Token:
    """Return a token that nobody has."""
    return Token(secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES))


def read_token(text: str) -> Token | None:
    """Return the token of a text, `None` when it can be none."""
    if not text.startswith(_MARK) or len(text) > limits.token_chars_max or not text.isascii():
        return None
    token_id, found, secret = text[len(_MARK) :].partition("_")
    return Token(token_id, secret) if found and token_id and secret else None


def digest_of(token: Token, namespace_id: str) -> str:
    """Return what is stored of a token; of no use with another namespace's id."""
    return blake2b(
        token.secret.encode(), digest_size=_DIGEST_BYTES, key=namespace_id.encode(), person=_PERSON
    ).hexdigest()


def is_same(text: str, expected: str) -> bool:
    """Compare secrets in a time that tells nothing about where they differ."""
    return hmac.compare_digest(text.encode("utf-8", "surrogatepass"), expected.encode())
