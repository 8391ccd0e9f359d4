"""Credentials at rest: AES-256-GCM, under keys that are derived for one namespace each.

A sealed text names the key that sealed it, so several keys can be in use at once: the first of
FLUX_ENCRYPTION_KEY seals, all of them open, and whoever finds a text under a later one seals it anew. The
namespace and the connector are associated data: a text that was copied to another place does not open there.
The actor of a namespace is given the keys of that namespace alone; from those nobody gets back to the others
(HKDF, RFC 5869). Nonces are random: at 96 bits a key would have to seal four billion texts before a repeat
is as likely as one in four billion (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flux_actors.errors import Corrupt, Refused

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_PURPOSE: Final = b"flux-connectors/1"
_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_NO_KEY: Final = (
    "this server keeps no credentials yet: its operator must make a key with `flux connectors key`, "
    "set it as FLUX_ENCRYPTION_KEY and start Flux again"
)


def new_key() -> str:
    """Return a fresh key as FLUX_ENCRYPTION_KEY takes it."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


class NamespaceVault:
    """Seals and opens the credentials of one namespace."""

    def __init__(self, namespace: str, keys: Sequence[bytes]) -> None:
        self._namespace = namespace
        self._keys = {_id_of(key): key for key in keys}
        self._first = _id_of(keys[0]) if keys else None

    def seal(self, connector: str, text: str) -> str:
        """Return `text` sealed under the first key.

        Raises:
            Refused: 500, there is no key.
        """
        if self._first is None:
            raise Refused(_NO_KEY, 500)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._keys[self._first]).encrypt(nonce, text.encode(), self._bound_to(connector))
        return base64.b64encode(_VERSION + self._first + nonce + sealed).decode()

    def open(self, connector: str, sealed: str) -> str:
        """Return what was sealed for `connector`.

        Raises:
            Corrupt: the key is not there, or the text is not what was sealed here.
        """
        data = _bytes_of(sealed)
        key = self._keys.get(_key_id(data))
        if key is None:
            raise Corrupt(
                "FLUX_ENCRYPTION_KEY does not hold the key of this credential; give the token again"
            )
        nonce = data[1 + _ID_BYTES : 1 + _ID_BYTES + _NONCE_BYTES]
        try:
            text = AESGCM(key).decrypt(nonce, data[1 + _ID_BYTES + _NONCE_BYTES :], self._bound_to(connector))
        except InvalidTag:
            raise Corrupt("this credential was not sealed for this connector; give the token again") from None
        return text.decode()

    def is_fresh(self, sealed: str) -> bool:
        """Whether a text is sealed under the first key."""
        return _key_id(_bytes_of(sealed)) == self._first

    def _bound_to(self, connector: str) -> bytes:
        namespace = self._namespace.encode()
        return b"%b:%d:%b%b" % (_PURPOSE, len(namespace), namespace, connector.encode())


class Vault:
    """Holds the server's keys, and derives those of a namespace."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def check(self) -> None:
        """Raise `Refused` (500) when there is no key to seal with."""
        if not self._keys:
            raise Refused(_NO_KEY, 500)

    def keys_of(self, namespace: str) -> tuple[bytes, ...]:
        """Return the keys of one namespace, in order."""
        return tuple(_derived(key, namespace) for key in self._keys)

    def of(self, namespace: str) -> NamespaceVault:
        """Return the vault of one namespace."""
        return NamespaceVault(namespace, self.keys_of(namespace))


def _derived(key: bytes, namespace: str) -> bytes:
    info = _PURPOSE + b"\0" + namespace.encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(_PURPOSE + key).digest()[:_ID_BYTES]


def _bytes_of(sealed: str) -> bytes:
    try:
        data = base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) < 1 + _ID_BYTES + _NONCE_BYTES + _TAG_BYTES or data[:1] != _VERSION:
        raise Corrupt("a stored credential is damaged; give the token again")
    return data


def _key_id(data: bytes) -> bytes:
    return data[1 : 1 + _ID_BYTES]
