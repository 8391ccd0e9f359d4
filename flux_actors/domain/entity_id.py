"""Entity ids: `namespace/name`, and which names a client may use."""

from __future__ import annotations

import unicodedata
from typing import Final

from flux_actors import limits
from flux_actors.errors import Refused

CORE_NAMESPACE: Final = "flux-core"
DIRECTORY_ID: Final = "flux-core/directory"
AUDIT_ID: Final = "flux-core/audit"
BEHAVIOURS_PREFIX: Final = "flux-core/behaviours/"


def namespace_of(entity_id: str) -> str:
    """Return the part before the first slash; `""` for an id without one."""
    namespace, slash, _ = entity_id.partition("/")
    return namespace if slash else ""


def check_entity_id(value: object) -> str:
    """Return `value` as an entity id or raise `Refused` (400) saying what is wrong with it."""
    if not isinstance(value, str):
        raise Refused('payload.entity_id must be a string such as "namespace/name"')
    if value.isascii() and value.isprintable() and 1 <= len(value) <= limits.entity_id_bytes_max:
        return value  # nearly all of them: 0.1 µs instead of 0.3
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError:
        raise Refused("entity_id must be valid Unicode text") from None
    if not 1 <= size_bytes <= limits.entity_id_bytes_max:
        raise Refused(f"entity_id must be 1 to {limits.entity_id_bytes_max} bytes long, not {size_bytes}")
    if not value.isprintable() and any(unicodedata.category(char) == "Cc" for char in value):
        raise Refused("entity_id must not contain control characters")
    return value


def check_not_core(entity_id: str) -> str:
    """Return `entity_id` unless it is the server's own (`flux-core…`), which is 403."""
    if entity_id.startswith(CORE_NAMESPACE):
        raise Refused("names beginning with flux-core belong to the server; choose another namespace", 403)
    return entity_id
